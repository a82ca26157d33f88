"""Choices that fits of several methods share. Light: options are declared with them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from franken.config.checks import at_least, in_range, members_by_name


class Fallback(StrEnum):
    """Rule for rows that a method cannot compute."""

    mean = "mean"
    normal = "normal"
    """N(mean, std per dimension) of the source rows."""
    normal_scalar = "normal_scalar"
    """N(mean, one std for all dimensions, the root mean square of theirs)."""
    multivariate = "multivariate"
    subtoken_mean = "subtoken_mean"


@dataclass
class FitOptions:
    """What every fit is told."""

    name: str = ""
    """The method, as maps and reports name it."""
    copy_overlap: bool = True
    """Rows whose canonical bytes the source vocabulary also has are copied."""
    noise_std: float = 0.0
    """Gaussian noise on computed rows, in units of the source table's mean per-dimension std."""
    norm_match: bool = False
    """Rescale computed rows to the mean norm of the source rows."""

    def faults(self) -> Iterator[tuple[str, str]]:
        """Key and message of everything wrong with the options."""
        yield from at_least("noise_std", self.noise_std, 0.0)


class Metric(StrEnum):
    """How the nearest anchors are found."""

    cosine = "cosine"
    euclidean = "euclidean"


class Head(StrEnum):
    """Where the weights of an untied output embedding come from."""

    same_weights = "same_weights"
    """The weights that were computed on the helper's input rows."""
    helper_head = "helper_head"
    """Weights of their own, computed on the helper's output rows, where it has any."""
    global_map = "global_map"
    """No weights: computed output rows are the new input rows times the one linear map that fits
    the source's output rows best from its input rows."""
    random = "random"
    """No weights: computed output rows are drawn from N(mean, std) of the source's output rows."""


@dataclass
class AnchorOptions:
    """Which shared tokens may take part."""

    drop_special: bool = True
    """Control tokens are no anchors."""
    drop_bytes: bool = True
    """Byte pieces (``<0x41>``) are no anchors: text hardly uses them, so their rows are untrained.
    The letters of byte-level BPE are pieces like any other."""
    drop_digits: bool = False
    """Pieces of nothing but digits are no anchors."""
    undertrained_quantile: float = 0.0
    """Shared tokens whose source row is shorter than this quantile of all are no anchors."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from in_range("undertrained_quantile", self.undertrained_quantile, 0.0, 0.99)


@dataclass
class Solver:
    """Least squares over the chosen anchors; see franken/token_map/projection.py."""

    rcond: float = 1e-10
    """Directions below this share of the largest singular value are left out (pseudo-inverse)."""
    ridge: float = 0.0
    """Penalty on the weights, in units of the mean squared length of the anchors' helper rows."""
    center: bool = False
    """Centre both sides on the anchors' means: an affine fit, whose weights sum to 1."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("rcond", self.rcond, 0.0)
        yield from at_least("ridge", self.ridge, 0.0)


@members_by_name
@dataclass
class HelperOptions(FitOptions):
    """What fits on a helper's rows are told beside."""

    anchors: AnchorOptions = field(default_factory=AnchorOptions)
    """Which shared tokens are anchors."""
    head: Head = Head.same_weights
    """Where the weights of an untied output embedding come from."""


class Rescale(StrEnum):
    """What is done about rows that are shorter than the source's."""

    none = "none"
    mean_norm = "mean_norm"
    """One factor for all: their mean norm becomes that of the source rows."""
    per_row_norm = "per_row_norm"
    """Every row gets the mean norm of the source rows."""


class OverlapMode(StrEnum):
    """When two tokens count as the same."""

    bytes = "bytes"
    """Same bytes, leading space included."""
    native = "native"
    """Same string in the vocabulary file."""
    decode = "decode"
    """Same decoded text: pieces that are no text of their own all become U+FFFD and match."""


@members_by_name
@dataclass
class Overlap:
    """Which tokens are shared, thus copied and anchors."""

    mode: OverlapMode = OverlapMode.bytes
    case_fold: bool = False
    """Also share tokens that differ in case alone; exact partners come first."""


class SpaceAlignment(StrEnum):
    """How vectors of the languages come into one space."""

    lexicon = "lexicon"
    """Orthogonal Procrustes on lexicon pairs, each as it is, in lower case and in title case."""
    identical = "identical"
    """Orthogonal Procrustes on words that both languages spell alike."""
    none = "none"
    """They are aligned already."""


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
