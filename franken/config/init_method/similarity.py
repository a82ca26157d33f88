"""Options of initialisers that compare static vectors of words or pieces."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import at_least, in_range
from franken.config.init_method.base import Fallback, InitMethodConfig, Need
from franken.config.word_vectors import VectorUnit


class SpaceAlignment(StrEnum):
    """How vectors of the languages come into one space."""

    lexicon = "lexicon"
    """Orthogonal Procrustes on lexicon pairs, each as it is, in lower case and in title case."""
    identical = "identical"
    """Orthogonal Procrustes on words that both languages spell alike."""
    none = "none"
    """They are aligned already."""


class TokenVectors(StrEnum):
    """How a piece gets a vector in a space of words."""

    decode = "decode"
    """The vector of its text, from n-grams where the text is no word."""
    words = "words"
    """The mean over the words whose segmentation holds it."""


class LinkCounts(StrEnum):
    """What of a word alignment is counted."""

    links = "links"
    """Hard links."""
    expected = "expected"
    """Expected counts of the last E step."""


@dataclass
class SimilarityInit(InitMethodConfig):
    """What initialisers over static vectors have."""

    fallback: Fallback = Fallback.normal
    """Rule for pieces without a vector."""


@dataclass
class WechselInit(SimilarityInit):
    """Softmax over the nearest source tokens in aligned word vectors (Minixhofer et al. 2022)."""

    name: str = "wechsel"
    copy_overlap: bool = False
    """The release copies special tokens only, and so forgets a source language that the new
    vocabulary keeps; true, lm_transfer's WECHSEL+overlap, copies its pieces."""
    align: SpaceAlignment = SpaceAlignment.lexicon
    token_vectors: TokenVectors = TokenVectors.decode
    neighbours: int = 10
    temperature: float = 0.1
    max_words: int | None = None
    """For ``token_vectors: words``: the most frequent words that take part."""

    def needs(self) -> frozenset[Need]:
        return _word_needs(self.align)

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from _softmax_faults(self.neighbours, self.temperature)
        yield from at_least("max_words", self.max_words, 1)


@dataclass
class FocusInit(SimilarityInit):
    """Sparsemax over the overlap in vectors of the target pieces (Dobler & de Melo 2023)."""

    name: str = "focus"
    unit: VectorUnit = VectorUnit.pieces
    """``pieces``: vectors trained on text cut by the target tokenizer. ``words``: a piece has the
    word vector of its text."""
    align: SpaceAlignment = SpaceAlignment.lexicon
    """For ``unit: words`` with several target languages, which then meet in the source's space."""
    fuzzy: bool = False
    """Whether pieces that differ from a source piece by case or leading space only are overlap
    (fuzzy_match_all of the release)."""
    rare: bool = False
    """Whether pieces too rare for a vector of their own take one from their n-grams; the release
    does not (``unit: pieces``)."""
    temperature: float = 1.0
    """Divides the cosines; 1 is the paper's, smaller is sparser."""

    def needs(self) -> frozenset[Need]:
        if self.unit is VectorUnit.pieces:
            return frozenset({Need.piece_vectors})
        return frozenset({Need.word_vectors})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("temperature", self.temperature, 1e-6)


@dataclass
class OfaInit(SimilarityInit):
    """Softmax over nearest source tokens in multilingual word vectors (Liu et al. 2024, OFA)."""

    version: ClassVar[int] = 3

    name: str = "ofa"
    align: SpaceAlignment = SpaceAlignment.lexicon
    """The paper reads vectors of one space for all languages (``none``)."""
    fuzzy: bool = True
    """Copy also where pieces differ by case or leading space only, as the release."""
    neighbours: int = 10
    temperature: float = 0.1
    max_words: int | None = None
    """The most frequent words of each language that take part."""
    keep_dim: int | None = None
    """Rank of the factorisation of the tables; ``null``: full. The new table is then the folded
    product of coordinates and primitives (control tokens apart), and these are saved beside it."""

    def needs(self) -> frozenset[Need]:
        return _word_needs(self.align)

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from _softmax_faults(self.neighbours, self.temperature)
        yield from at_least("max_words", self.max_words, 1)
        yield from at_least("keep_dim", self.keep_dim, 1)


@dataclass
class RamenInit(SimilarityInit):
    """Translation probabilities as weights (Tran 2020, RAMEN)."""

    name: str = "ramen"
    copy_overlap: bool = False
    """The release copies special tokens only; true where the new vocabulary keeps the source
    language."""
    parallel: bool = True
    """Probabilities from word alignments of parallel text; false: sparsemax of cosines in aligned
    word vectors."""
    counts: LinkCounts = LinkCounts.links
    """For ``parallel``."""
    align: SpaceAlignment = SpaceAlignment.identical
    """For ``parallel: false``."""
    max_words: int | None = 50_000
    """For ``parallel: false``: the most frequent words of each language that take part."""

    def needs(self) -> frozenset[Need]:
        return frozenset({Need.alignment}) if self.parallel else _word_needs(self.align)

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("max_words", self.max_words, 1)


@dataclass
class UnibridgeInit(SimilarityInit):
    """FASE: lexical copies, semantic copies, then sparsemax over both (Pham et al. 2024)."""

    name: str = "unibridge"
    semantic: bool = True
    """Whether mutual nearest neighbours of the two piece spaces take each other's row."""
    align: bool = True
    """Whether the source pieces' space is first rotated onto the target pieces' by the pieces that
    both have. The release compares two spaces trained apart, whose cosines say little; false is
    its behaviour."""
    rare: bool = False
    """Whether pieces that the text holds too rarely for a vector of their own are anchors and
    matches all the same, by n-grams that were never trained on them, as in the release."""
    temperature: float = 1.0
    nucleus: float = 1.0
    """Keep the largest weights whose sum reaches this; 1 keeps all."""

    def needs(self) -> frozenset[Need]:
        return frozenset({Need.piece_vectors})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("temperature", self.temperature, 1e-6)
        yield from in_range("nucleus", self.nucleus, 1e-6, 1.0)


def _word_needs(align: SpaceAlignment) -> frozenset[Need]:
    words = frozenset({Need.word_vectors})
    return words | {Need.lexicon} if align is SpaceAlignment.lexicon else words


def _softmax_faults(neighbours: int, temperature: float) -> Iterator[tuple[str, str]]:
    yield from at_least("neighbours", neighbours, 1)
    yield from at_least("temperature", temperature, 1e-6)


OPTIONS: dict[str, type[InitMethodConfig]] = {
    "wechsel": WechselInit,
    "focus": FocusInit,
    "ofa": OfaInit,
    "ramen": RamenInit,
    "unibridge": UnibridgeInit,
}
