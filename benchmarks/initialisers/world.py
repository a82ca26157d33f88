"""Two synthetic vocabularies, a source table, and every side resource that initialisers read.

Pieces are random strings of syllables, so that the source cuts the target's own pieces into a few
of its own. A given share of the target's pieces is the
source's too, no more and no less. All vectors are isotropic, the hard case for sparse weights.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from franken.alignment import WordTable
from franken.init_method import InitResources
from franken.parts.table import Table
from franken.token_map.token_vectors import texts_of
from franken.tokenizer.pieces import canonical_bytes, vocabulary_overlap
from franken.tokenizer.pipeline import BYTE_PIECES, SPACE
from franken.word_vectors import VectorSpace

SPECIALS = ("<pad>", "<eos>", "<bos>", "<unk>")
BASE = (*SPECIALS, *BYTE_PIECES)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SYLLABLES = tuple(f"{first}{second}{last}" for first in "bdfgklmnprstvz" for second in "aeiou"
                  for last in ("", "n", "r", "s"))  # fmt: skip
SOURCE, TARGET = "en", "xx"


@dataclass(frozen=True)
class Sizes:
    """What the options of the benchmark say."""

    source_rows: int = 256_000
    new_rows: int = 128_000
    hidden: int = 2304
    dtype: torch.dtype = torch.bfloat16
    vector_dim: int = 300
    helper_dim: int = 768
    overlap: float = 0.25
    """Share of the new rows that the source has."""
    pairs_per_word: int = 4

    @property
    def shared(self) -> int:
        """Pieces that both vocabularies have, apart from control tokens and bytes."""
        return round(self.overlap * self.new_rows)

    def own(self, share: float) -> int:
        """Pieces of the target alone, when only a share of them is wanted."""
        return round(share * (self.new_rows - self.shared - len(BASE)))


@dataclass
class World:
    """One source, one target, and what a method may ask for."""

    sizes: Sizes
    source: Table
    target: PreTrainedTokenizerFast
    resources: InitResources

    @cached_property
    def source_bytes(self) -> list[bytes | None]:
        """Bytes of the source's pieces, by id."""
        return canonical_bytes(self.source.tokenizer)

    @cached_property
    def target_bytes(self) -> list[bytes | None]:
        """Bytes of the target's pieces, by id."""
        return canonical_bytes(self.target)

    @cached_property
    def overlap(self) -> dict[int, int]:
        """Target id -> source row of the text pieces that both have."""
        found = vocabulary_overlap(self.source.tokenizer, self.target)
        return {row: old for row, old in found.items() if self.target_bytes[row] is not None}


class Vocabularies:
    """Pieces of the source, and of targets that are cut short to a share of their own."""

    def __init__(self, sizes: Sizes, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._sizes = sizes
        atoms = [SPACE, *LETTERS, *SYLLABLES]
        self.source = _drawn(atoms, sizes.source_rows - len(BASE), set(), rng)
        self._common = self.source[: sizes.shared]
        total = len(self._common) + sizes.own(1.0)
        known = {piece.lstrip(SPACE) for piece in self.source}
        self._target = _drawn(self._common or atoms, total, known, rng)

    def target(self, share: float) -> list[str]:
        """The common pieces and the first of the target's own."""
        return self._target[: len(self._common) + self._sizes.own(share)]


def make_world(
    sizes: Sizes, vocabularies: Vocabularies, source: Table, share: float, needs: Iterable[str]
) -> World:
    """The world for some methods, of which a share of the target's own rows is asked."""
    target = tokenizer_of(vocabularies.target(share))
    rng, wanted = np.random.default_rng(1), set(needs)
    words = {
        SOURCE: _words(source.tokenizer),
        TARGET: _words(target),
    }
    resources = InitResources(SOURCE, [TARGET], {TARGET: _lexicon(words, rng)})
    if wanted & {"alignment", "symmetric_alignment"}:
        resources.alignments = {TARGET: _word_table(words, sizes.pairs_per_word, rng)}
    if "word_vectors" in wanted:
        resources.word_vectors = {
            language: _space(known, sizes.vector_dim) for language, known in words.items()
        }
    if "piece_vectors" in wanted:
        from franken.word_vectors.common.pieces import piece_labels

        for side, tokenizer in (("target", target), ("source", source.tokenizer)):
            labels = dict.fromkeys(label for label in piece_labels(tokenizer) if label)
            resources.piece_vectors[side] = _space(list(labels), sizes.vector_dim)
    if "helper" in wanted:
        rows = torch.empty(len(target), sizes.helper_dim).normal_()
        resources.helper = Table(target, rows, None, None, lineage="helper")
    return World(sizes, source, target, resources)


def source_table(sizes: Sizes, vocabularies: Vocabularies) -> Table:
    """Random tied rows in the dtype asked for."""
    rows = torch.empty(sizes.source_rows, sizes.hidden, dtype=sizes.dtype)
    for chunk in rows.split(8192):
        chunk.normal_(std=0.05)
    return Table(tokenizer_of(vocabularies.source), rows, None, None, lineage="source")


def tokenizer_of(pieces: list[str]) -> PreTrainedTokenizerFast:
    """A Unigram tokenizer with byte fallback that prefers few and long pieces."""
    scores = [(piece, -100.0) for piece in BASE] + [(piece, -10.0) for piece in pieces]
    backend = Tokenizer(models.Unigram(scores, unk_id=BASE.index("<unk>"), byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", SPACE)
    backend.pre_tokenizer = pre_tokenizers.Split(SPACE, "merged_with_next")
    backend.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    roles = {f"{name[1:-1]}_token": name for name in SPECIALS}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **roles)


def _drawn(start: list[str], count: int, taken: set[str], rng: np.random.Generator) -> list[str]:
    """``start`` and random strings of one to four syllables, ``count`` in all.

    No text occurs twice, with and without the marker, or among ``taken``: their vectors would tie.
    """
    pieces, known = list(start), {piece.lstrip(SPACE) for piece in start} | taken
    while len(pieces) < count:
        lengths = rng.choice([1, 2, 3, 4], size=8192, p=[0.05, 0.4, 0.35, 0.2]).tolist()
        syllables = rng.integers(len(SYLLABLES), size=(8192, 4)).tolist()
        initial = (rng.random(8192) < 0.6).tolist()
        for length, chosen, leads in zip(lengths, syllables, initial, strict=True):
            made = "".join(SYLLABLES[index] for index in chosen[:length])
            if made not in known:
                pieces.append(SPACE * leads + made)
                known.add(made)
    return pieces[:count]


def _words(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Distinct texts of the pieces, those of the lowest ids first."""
    texts = texts_of(canonical_bytes(tokenizer))
    return list(dict.fromkeys(text for text in texts if text.isalpha() and text.isascii()))


def _space(words: list[str], dim: int) -> VectorSpace:
    counts = 1_000_000 // torch.arange(1, len(words) + 1) + 1
    return VectorSpace(words, torch.empty(len(words), dim).normal_(), counts)


def _lexicon(words: dict[str, list[str]], rng: np.random.Generator) -> list[tuple[str, str]]:
    """One or two translations for an eighth of the target's words."""
    chosen = rng.permutation(len(words[TARGET]))[: len(words[TARGET]) // 8]
    targets = np.r_[chosen, chosen[::2]].tolist()
    sources = rng.integers(len(words[SOURCE]), size=len(targets)).tolist()
    return [(words[SOURCE][s], words[TARGET][t]) for s, t in zip(sources, targets, strict=True)]


def _word_table(words: dict[str, list[str]], per_word: int, rng: np.random.Generator) -> WordTable:
    """Links of four of five target words to random source words; most are counted once."""
    targets = np.flatnonzero(rng.random(len(words[TARGET])) < 0.8).repeat(per_word)
    sources = rng.integers(len(words[SOURCE]), size=len(targets))
    pairs = np.unique(np.stack([sources, targets], axis=1), axis=0)
    counts = np.minimum(rng.zipf(1.7, size=len(pairs)), 10_000).astype(np.float64)
    return WordTable.of(words[SOURCE], words[TARGET], pairs, counts)
