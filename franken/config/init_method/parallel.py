"""Options of initialisers that read word alignments of parallel text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from franken.config.checks import at_least
from franken.config.init_method.base import InitMethodConfig, Need


class PairCounts(StrEnum):
    """Which counts of the word table are evidence."""

    viterbi = "viterbi"
    """Hard links: cover more of the vocabulary, as NULL takes no share of every count."""
    expected = "expected"
    """Expected counts of the last E step, as in the reference."""


class NumberRule(StrEnum):
    """Evidence for numbers, which parallel text need not hold."""

    none = "none"
    first_piece = "first_piece"
    """The reference: numbers to 9998 (and 00 to 098) map to the first piece of their source
    tokenization, which under a digit-splitting source is the bare word-start marker."""
    digits = "digits"
    """Pieces of digits, of any script, map to all digit pieces of their source tokenization."""


class SpecialRule(StrEnum):
    """How control tokens find their source row."""

    roles = "roles"
    """The reference's table (bos takes bos, else cls, else unk, ...); where roles share one token,
    eos decides."""
    summed = "summed"
    """The same table, and roles that share one token are averaged, as in the reference."""
    shared = "shared"
    """What all initialisers do: the same role, else the same string, else no partner."""


class Borrowing(StrEnum):
    """Where tokens without evidence take their weights from."""

    none = "none"
    frozen_substring = "frozen_substring"
    """From mapped tokens that they begin, and from the longest mapped tokens inside them."""
    mean_of_pieces = "mean_of_pieces"
    """From their own source tokenization, equal weights."""


class Unmapped(StrEnum):
    """Rule for tokens that nothing was found for."""

    unk = "unk"
    """The source's unk row; its pad or bos where it has none; else the mean row."""
    mean = "mean"
    normal = "normal"
    multivariate = "multivariate"
    subtoken_mean = "subtoken_mean"


@dataclass
class SpreadConfig:
    """How the count of a word pair reaches their pieces; each target piece gets all of it."""

    all_to_all: float = 0.5
    """Share that every source piece gives to every target piece."""
    in_order: float = 0.5
    """Share that goes from piece k to piece k, in proportion where their numbers differ."""
    integer: bool = False
    """Floor every part, as the reference does, down to 1 at least."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("all_to_all", self.all_to_all, 0.0)
        yield from at_least("in_order", self.in_order, 0.0)
        if not self.all_to_all + self.in_order > 0:
            yield "all_to_all", "and in_order are both 0: counts would reach no piece"


@dataclass
class EvidenceConfig:
    """Counts that need no parallel text, added to those that come from it."""

    identity: float = 1.0
    """For a source piece of the same bytes, where it is not copied; 0 switches it off."""
    numbers: NumberRule = NumberRule.digits

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("identity", self.identity, 0.0)


@dataclass
class BorrowingConfig:
    """Weights for tokens without evidence."""

    kind: Borrowing = Borrowing.frozen_substring
    """The release writes into the mapping that it reads, so that its result changes from process
    to process; here all read the state before."""
    word_initial_boost: float = 2.0
    """Factor on source pieces that begin a word; the release knows only one word-start marker."""
    ignore_word_start: bool = True
    """Whether a token also borrows from those that it begins but for their leading space: ``house``
    from ``▁house``. The release asks for the very beginning, marker included."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("word_initial_boost", self.word_initial_boost, 0.0)


@dataclass
class TransTokenizationInit(InitMethodConfig):
    """Source rows weighted by word alignments of parallel text (Remy et al. 2024)."""

    name: str = "trans_tokenization"
    copy_overlap: bool = True
    """False, as in the paper: a shared piece is evidence of weight ``evidence.identity``, which a
    word of another meaning (Indonesian "air", water) outweighs. That suits a vocabulary without the
    source language; in one that keeps it, source words lose their rows."""
    counts: PairCounts = PairCounts.viterbi
    beam_exponent: float | None = None
    """Keep a pair only if p(target | source) >= (the source word's highest) ** this; ``null``:
    off. The reference's aligner has 4, which costs a seventh of the vocabulary its evidence."""
    min_count: float = 2.0
    """Word pairs counted less often are ignored. 2 suits thousands of sentence pairs, where it
    drops chance links and keeps rare words; the paper has 10 on millions (Dutch: 20)."""
    spread: SpreadConfig = field(default_factory=SpreadConfig)
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    special: SpecialRule = SpecialRule.roles
    fallback: BorrowingConfig = field(default_factory=BorrowingConfig)
    unmapped: Unmapped = Unmapped.unk
    top: int | None = None
    """Keep a token's so many heaviest sources; ``null``: all."""
    temperature: float = 1.0
    """Weights are raised to 1 / temperature and normalised; below 1 sharpens them."""

    def needs(self) -> frozenset[Need]:
        return frozenset({Need.alignment})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("beam_exponent", self.beam_exponent, 1.0)
        yield from at_least("min_count", self.min_count, 0.0)
        yield from at_least("top", self.top, 1)
        yield from at_least("temperature", self.temperature, 1e-3)


@dataclass
class TransTokenizationParityInit(TransTokenizationInit):
    """Trans-Tokenization as its release computes it, what cannot be repeated apart."""

    name: str = "trans_tokenization_parity"
    copy_overlap: bool = False
    counts: PairCounts = PairCounts.expected
    beam_exponent: float | None = 4.0
    min_count: float = 10.0
    spread: SpreadConfig = field(default_factory=lambda: SpreadConfig(integer=True))
    evidence: EvidenceConfig = field(
        default_factory=lambda: EvidenceConfig(numbers=NumberRule.first_piece)
    )
    special: SpecialRule = SpecialRule.summed
    fallback: BorrowingConfig = field(
        default_factory=lambda: BorrowingConfig(ignore_word_start=False)
    )


@dataclass
class GoldAlignmentInit(TransTokenizationInit):
    """Trans-Tokenization with the word links that come with the data: the ceiling for aligners."""

    name: str = "gold_alignment"

    def needs(self) -> frozenset[Need]:
        return frozenset({Need.gold_alignment})


OPTIONS: dict[str, type[InitMethodConfig]] = {
    "trans_tokenization": TransTokenizationInit,
    "trans_tokenization_parity": TransTokenizationParityInit,
    "gold_alignment": GoldAlignmentInit,
}
