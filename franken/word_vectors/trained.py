"""fastText on sentences of words or of pieces of the data's text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import chain

from franken.config.checks import at_least
from franken.declare import option
from franken.errors import DataError
from franken.lazy import later
from franken.word_vectors.base import TextVectors

with later():
    import numpy as np
    import torch
    from torch.nn.functional import embedding_bag

    from franken.word_vectors.common.examples import Corpus, Lists
    from franken.word_vectors.common.ngrams import hashed_ngrams
    from franken.word_vectors.common.sampling import Sampling
    from franken.word_vectors.common.space import VectorSpace


class Architecture(StrEnum):
    """What predicts what in training."""

    cbow = "cbow"
    """The word from the sum of its neighbours."""
    skipgram = "skipgram"
    """Each neighbour from the word."""


@option
class TrainedVectors(TextVectors):
    """fastText vectors trained on the monolingual text of the data.

    Defaults suit a few thousand sentences: more passes and rarer words than the papers, whose
    values (FOCUS: CBOW, 100 dimensions, 10 negatives, 3 epochs, min_count 10, the rest as fastText)
    are ``word_vectors=trained_paper``. UniBridge: 300 dimensions, min_count 1. WECHSEL: 20 epochs,
    min_n = max_n = 5.
    """

    dim: int = 100
    """Dimensions."""
    architecture: Architecture = Architecture.cbow
    epochs: int = 10
    """Passes over the text, where ``word_budget`` allows so many."""
    word_budget: int | None = 10_000_000
    """Words read in all passes together: text longer than this over ``epochs`` has fewer passes, at
    least one (``null``: always ``epochs``). A million words take a second or two."""
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
    """Longest character n-gram."""
    buckets: int = 100_000
    """Values that n-grams are hashed to (fastText 2,000,000); rows are made for those in use."""
    lr: float = 0.05
    """Learning rate at the start; it falls to 0."""
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

    def space_of(self, sentences: Sequence[Sequence[str]], seed: int, *, what: str) -> VectorSpace:
        return train_space(sentences, self, seed, what=what)


def train_space(
    sentences: Sequence[Sequence[str]], config: TrainedVectors, seed: int, *, what: str
) -> VectorSpace:
    """Train vectors; equal sentences, options and seed give equal bytes.

    One thread. Words enter by falling frequency.

    Args:
        sentences: of words; a window never spans two.
        config: see the fields of :class:`TrainedVectors`.
        seed: of initial vectors and draws.
        what: names the text in errors, e.g. ``monolingual text of sw``.

    Raises:
        DataError: where no word occurs ``min_count`` times, or training diverges.
    """
    words, counts, corpus = _numbered(sentences, config.min_count)
    total = sum(map(len, sentences))
    if not words:
        raise DataError(
            f"word vectors: no word of the {what} occurs {config.min_count} times "
            f"({total} words in all); give more text, or lower "
            "word_vectors.min_count"
        )
    buckets = config.buckets if config.max_n else 0
    slots, rows = _rows_of(words, config)
    generator = torch.Generator().manual_seed(seed % 2**63)
    table = torch.rand(len(words) + len(slots), config.dim, generator=generator)
    table = (table * 2 - 1) / config.dim
    Sampling(
        corpus, counts, rows, config.window, config.negative, config.subsample, config.lr,
        skipgram=config.architecture is Architecture.skipgram,
    ).train(table, passes(total, config), seed % 2**63)  # fmt: skip
    flat, ends = torch.from_numpy(rows.flat), torch.from_numpy(rows.ends)
    vectors = embedding_bag(flat, table, ends, mode="mean", include_last_offset=True)
    if not bool(torch.isfinite(vectors).all()):
        raise DataError(
            f"word vectors: training on the {what} diverged; lower word_vectors.lr={config.lr}"
        )
    space = VectorSpace(words, vectors, torch.from_numpy(counts))
    if not buckets:
        return space
    return replace(
        space, ngrams=table[len(words) :], min_n=config.min_n, max_n=config.max_n,
        slots=torch.from_numpy(slots), buckets=buckets,
    )  # fmt: skip


def _numbered(
    sentences: Sequence[Sequence[str]], min_count: int
) -> tuple[list[str], np.ndarray, Corpus]:
    """Words by falling frequency, their counts, and the sentences in their numbers."""
    counted = Counter(chain.from_iterable(sentences))
    words = sorted(
        (word for word, count in counted.items() if count >= min_count),
        key=lambda word: (-counted[word], word),
    )
    number = dict.fromkeys(counted, -1) | {word: index for index, word in enumerate(words)}
    flat = np.fromiter(map(number.__getitem__, chain.from_iterable(sentences)), np.int64)
    stands = np.repeat(np.arange(len(sentences)), [len(sentence) for sentence in sentences])
    counts = np.array([counted[word] for word in words], np.int64)
    return words, counts, Corpus(flat[flat >= 0], stands[flat >= 0])


def _rows_of(words: Sequence[str], config: TrainedVectors) -> tuple[np.ndarray, Lists]:
    """Buckets in use, ascending, and each word's rows: its own, then its n-grams' behind all words.

    Training never touches other buckets. Of fastText's 2,000,000 a text of a megabyte uses some ten
    thousand.
    """
    hashes, ends = hashed_ngrams(words, config.min_n, config.max_n, config.buckets)
    slots, found = np.unique(hashes, return_inverse=True)
    own = np.arange(len(words))
    flat = np.insert(found + len(words), ends[:-1], own)
    return slots, Lists(flat, ends + np.arange(len(ends)))


def passes(words: int, config: TrainedVectors) -> int:
    """How often a text of so many words is read: ``epochs``, fewer where the budget ends first."""
    if config.word_budget is None:
        return config.epochs
    return max(1, min(config.epochs, round(config.word_budget / max(words, 1))))
