"""Options of the group ``word_vectors``: static vectors of words or pieces."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from franken.config.checks import at_least

PIECE_SIDES = ("target", "source")
"""Spaces of ``unit: pieces``: whose tokenizer cut the target text."""


class VectorUnit(StrEnum):
    """What has a vector."""

    words = "words"
    """White-space words; one space for each language, the source language included."""
    pieces = "pieces"
    """Pieces of the target text as the target tokenizer cuts it, and as the source's does."""


class Architecture(StrEnum):
    """What predicts what in training."""

    cbow = "cbow"
    """The word from the sum of its neighbours."""
    skipgram = "skipgram"
    """Each neighbour from the word."""


@dataclass
class WordVectorsConfig:
    """What every option has."""

    name: str = "trained"


@dataclass
class TrainedVectors(WordVectorsConfig):
    """fastText vectors trained on the monolingual text of the data.

    Defaults suit a few thousand sentences: more passes and rarer words than the papers, whose
    values (FOCUS: CBOW, 100 dimensions, 10 negatives, 3 epochs, min_count 10, the rest as fastText)
    are ``word_vectors=trained_paper``. UniBridge: 300 dimensions, min_count 1. WECHSEL: 20 epochs,
    min_n = max_n = 5.
    """

    name: str = "trained"
    dim: int = 100
    architecture: Architecture = Architecture.cbow
    epochs: int = 10
    word_budget: int | None = 10_000_000
    """Words read in all passes together: text longer than this over ``epochs`` has fewer passes, at
    least one (``null``: always ``epochs``). A million words take three seconds of one thread."""
    window: int = 5
    """Words to either side; each is drawn from 1 to this width."""
    negative: int = 10
    """Noise words per word."""
    min_count: int = 2
    """Rarer words get no vector of their own."""
    min_n: int = 5
    """Shortest character n-gram; ``max_n: 0`` trains whole words only. WECHSEL's 5 alone find more
    translations in a third less time than fastText's 3 to 6 (docs/word_vectors.md)."""
    max_n: int = 5
    buckets: int = 100_000
    """Rows that n-grams are hashed to; fastText's own 2,000,000 take 0.8 GB at 100 dimensions."""
    lr: float = 0.05
    subsample: float = 1e-3
    """Words more frequent than this share of the text are thinned (fastText 1e-4, for large
    text)."""
    max_lines: int | None = None
    """Lines per language at most."""

    def faults(self) -> Iterator[tuple[str, str]]:
        for key in ("dim", "epochs", "window", "negative", "min_count", "buckets"):
            yield from at_least(key, getattr(self, key), 1)
        yield from at_least("max_lines", self.max_lines, 1)
        yield from at_least("word_budget", self.word_budget, 1)
        if self.max_n and not 1 <= self.min_n <= self.max_n:
            yield "min_n", f"must lie between 1 and max_n={self.max_n}, got {self.min_n}"
        if not self.lr > 0:
            yield "lr", f"must be above 0, got {self.lr}"
        yield from at_least("subsample", self.subsample, 0.0)


@dataclass
class VectorFiles(WordVectorsConfig):
    """Vectors made elsewhere: fastText ``.vec``, ``.vec.gz`` or ``.bin``."""

    name: str = "files"
    path: str = ""
    """File of each language; holds ``{lang}``, e.g. ``vectors/cc.{lang}.300.bin``."""
    paths: dict[str, str] = field(default_factory=dict)
    """Language -> file, where ``path`` does not fit. For ``unit: pieces`` the keys are ``target``
    and ``source``, and the words are pieces by label (``▁house``)."""
    max_words: int | None = None
    """The first (most frequent) words that are kept; n-grams of a ``.bin`` stay whole."""
    ngrams: bool = True
    """Keep the n-grams of a ``.bin``, for vectors of unseen words (2.4 GB of fasttext.cc)."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.path and not self.paths:
            yield (
                "path",
                "names no file; give 'word_vectors.path=\"DIR/cc.{lang}.300.bin\"' (quoted so), or "
                "+word_vectors.paths.LANG=FILE",
            )
        if self.path and "{lang}" not in self.path:
            yield "path", f"lacks {{lang}}; got {self.path!r}"
        yield from at_least("max_words", self.max_words, 1)

    def files(self, unit: VectorUnit, languages: list[str]) -> dict[str, str]:
        """Path of each language, or of ``target`` and ``source``; "" where none is named."""
        if unit is VectorUnit.pieces:
            return {side: self.paths.get(side, "") for side in PIECE_SIDES}
        return {
            language: self.paths.get(language) or self.path.replace("{lang}", language)
            for language in languages
        }


OPTIONS: dict[str, type[WordVectorsConfig]] = {"trained": TrainedVectors, "files": VectorFiles}
