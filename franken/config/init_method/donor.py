"""Options of initialisers that read the table of a target-language model, or share their kernel."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import at_least, in_range
from franken.config.init_method.base import Fallback, InitMethodConfig, Need


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


@dataclass
class HelperInit(InitMethodConfig):
    """What initialisers that read a helper's rows have in common."""

    anchors: AnchorOptions = field(default_factory=AnchorOptions)
    head: Head = Head.same_weights
    fallback: Fallback = Fallback.normal
    """Rule for tokens without a vector."""

    def needs(self) -> frozenset[Need]:
        return frozenset({Need.helper})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if not self.copy_overlap:
            yield "copy_overlap", "false leaves no anchors: the shared tokens are what is copied"


@dataclass
class ClpInit(HelperInit):
    """Weights proportional to the cosine with every shared token (CLP-Transfer)."""

    name: str = "clp"
    head: Head = Head.helper_head
    max_anchors: int = 512
    """Only so many anchors, those of the largest absolute cosine, have a weight: all of them would
    be a dense matrix."""
    parity: bool = False
    """All anchors and no guard against vanishing sums, as released; refused where the weights
    would not fit (2**25 entries)."""
    min_sum: float = 0.1
    """A row whose cosines nearly cancel (|sum| below this share of the sum of absolute values)
    follows the fallback: its absolute weights would sum to more than 1 / ``min_sum``. Few such rows
    spoil every softmax: at 0.001, 81 of 3,585 took real Swahili from 5.6 to 18 bits per byte."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("max_anchors", self.max_anchors, 1)
        yield from in_range("min_sum", self.min_sum, 0.0, 1.0)


@dataclass
class ClpPlusInit(HelperInit):
    """Sparsemax over the cosines with all shared tokens, in the space of the helper (CLP+)."""

    name: str = "clp_plus"
    head: Head = Head.helper_head
    temperature: float = 1.0

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("temperature", self.temperature, 1e-6)


class AuxKind(StrEnum):
    """Where the vectors come from that choose the neighbours."""

    word_vectors = "word_vectors"
    """Static vectors of words, one space per target language."""
    piece_vectors = "piece_vectors"
    """Static vectors of the target tokenizer's pieces."""
    helper = "helper"
    """The rows of the helper itself."""


class OverlapMode(StrEnum):
    """When two tokens count as the same."""

    bytes = "bytes"
    """Same bytes, leading space included."""
    native = "native"
    """Same string in the vocabulary file."""
    decode = "decode"
    """Same decoded text: pieces that are no text of their own all become U+FFFD and match."""


class Surface(StrEnum):
    """Which string of a token is looked up among word vectors."""

    decode_strip = "decode_strip"
    """Its text, without the space around it."""
    native = "native"
    """As the vocabulary file spells it (``▁nyumba``); what is no word gets its n-grams' vector."""


class SelectorKind(StrEnum):
    """How the neighbours of a token are chosen."""

    sparsemax = "sparsemax"
    """The support of the sparsemax over the cosines: its size differs per token."""
    topk = "topk"
    omp = "omp"
    """Greedily in the space of the helper (orthogonal matching pursuit)."""
    all = "all"
    """Every anchor: one linear map for all tokens. Dense, so refused past 2**25 weights."""


class Rescale(StrEnum):
    """What is done about rows that are shorter than the source's."""

    none = "none"
    mean_norm = "mean_norm"
    """One factor for all: their mean norm becomes that of the source rows."""
    per_row_norm = "per_row_norm"
    """Every row gets the mean norm of the source rows."""


class Weighting(StrEnum):
    """Whether near neighbours weigh more in the fit."""

    none = "none"
    sparsemax = "sparsemax"


@dataclass
class Overlap:
    """Which tokens are shared, thus copied and anchors."""

    mode: OverlapMode = OverlapMode.bytes
    case_fold: bool = False
    """Also share tokens that differ in case alone; exact partners come first."""


@dataclass
class Selector:
    """How the neighbours of a token are chosen."""

    kind: SelectorKind = SelectorKind.sparsemax
    temperature: float = 1.0
    """Divides the cosines before the sparsemax; smaller is sparser."""
    k: int = 64
    """Number of neighbours for topk and omp."""
    max_k: int | None = None
    """For sparsemax: at most so many, the heaviest; null: all, as published."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("temperature", self.temperature, 1e-6)
        yield from at_least("k", self.k, 1)
        yield from at_least("max_k", self.max_k, 1)
        if self.max_k is not None and self.kind is not SelectorKind.sparsemax:
            yield "max_k", f"is for kind=sparsemax; kind={self.kind} has k"


@dataclass
class SaltAnchors(AnchorOptions):
    """Which shared tokens may take part, with SALT's readings."""

    drop_no_aux: bool = True
    """Shared tokens without an auxiliary vector are no anchors; kept, they count as unrelated to
    every token (cosine 0), which is nearer than those that point away."""


class Mapping(StrEnum):
    """What takes helper rows to source rows."""

    linear = "linear"
    """Any matrix: least squares."""
    orthogonal = "orthogonal"
    """A rotation and one scale (Procrustes), for ``selector.kind: all``: a control that cannot fit
    the anchors at will."""


@dataclass
class SaltSolver(Solver):
    """Least squares over the chosen anchors, with SALT's readings."""

    mapping: Mapping = Mapping.linear

    weighting: Weighting = Weighting.none
    """Rows of the regression weighted by the sparsemax; changes something only where a token has
    more neighbours than the helper has dimensions, or with a ridge."""


@dataclass
class SaltInit(HelperInit):
    """Per-token linear map from the helper's space, fitted on near shared tokens (SALT)."""

    version: ClassVar[int] = 2

    name: str = "salt"
    aux: AuxKind = AuxKind.word_vectors
    surface: Surface = Surface.decode_strip
    anchors: SaltAnchors = field(default_factory=SaltAnchors)
    overlap: Overlap = field(default_factory=Overlap)
    selector: Selector = field(default_factory=Selector)
    solver: SaltSolver = field(default_factory=SaltSolver)
    rescale: Rescale = Rescale.none

    def needs(self) -> frozenset[Need]:
        steps = {AuxKind.word_vectors: Need.word_vectors, AuxKind.piece_vectors: Need.piece_vectors}
        if self.selector.kind in (SelectorKind.omp, SelectorKind.all):
            return frozenset({Need.helper})
        return frozenset({Need.helper, *(need for kind, need in steps.items() if kind == self.aux)})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if self.solver.weighting is Weighting.sparsemax:
            if self.selector.kind is not SelectorKind.sparsemax:
                yield "solver.weighting", "sparsemax needs selector.kind=sparsemax"
            if self.solver.center:
                yield "solver.weighting", "sparsemax and solver.center exclude each other"
        if self.solver.mapping is Mapping.orthogonal:
            if self.selector.kind is not SelectorKind.all:
                yield (
                    "solver.mapping",
                    "orthogonal is one map for all and needs selector.kind=all",
                )
            if self.solver.center or self.solver.ridge:
                yield "solver.mapping", "orthogonal has no use for solver.center and solver.ridge"
        if self.rescale is not Rescale.none and self.norm_match:
            yield "rescale", f"{self.rescale} and norm_match=true both set the norms; choose one"


@dataclass
class OmpInit(HelperInit):
    """Orthogonal matching pursuit in the helper's space (tokensurgeon)."""

    name: str = "omp"
    head: Head = Head.helper_head
    k: int = 64
    """Atoms per token; never more than the helper has dimensions."""
    normalise: bool = False
    """Choose atoms by their direction alone. As released, a long row is chosen first by all."""
    tolerance: float = 1e-6
    """A token whose residual falls below this share of its norm takes no further atoms."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("k", self.k, 1)
        yield from at_least("tolerance", self.tolerance, 0.0)


class LocalWeights(StrEnum):
    """How the nearest anchors are weighted."""

    least_squares = "least_squares"
    barycentric = "barycentric"
    """Least squares whose weights sum to 1."""
    proximity = "proximity"
    """1 / distance, or the cosine (0 where it is negative), divided by their sum."""


@dataclass
class LocalLeastSquaresInit(HelperInit):
    """Interpolation among the nearest shared tokens in the helper's space (tokensurgeon)."""

    version: ClassVar[int] = 2

    name: str = "local_least_squares"
    head: Head = Head.helper_head
    k: int = 64
    metric: Metric = Metric.euclidean
    weights: LocalWeights = LocalWeights.least_squares
    solver: Solver = field(default_factory=Solver)

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("k", self.k, 1)


@dataclass
class UnksEverywhereInit(InitMethodConfig):
    """Rows drawn in a factor space of the source table; shared tokens copied (UNKs Everywhere)."""

    map_says_all: ClassVar[bool] = False

    name: str = "unks_everywhere"
    dim: int = 100
    """D' of the factorisation E = F G; at most the width of the table."""
    project_overlap: bool = False
    """Shared tokens get ``F_o G``, as in the paper, instead of their whole row: what the
    factorisation misses is lost."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("dim", self.dim, 1)
        if self.project_overlap and not self.copy_overlap:
            yield "project_overlap", "has nothing to project with copy_overlap=false"


OPTIONS: dict[str, type[InitMethodConfig]] = {
    "clp": ClpInit,
    "clp_plus": ClpPlusInit,
    "salt": SaltInit,
    "omp": OmpInit,
    "local_least_squares": LocalLeastSquaresInit,
    "unks_everywhere": UnksEverywhereInit,
}
