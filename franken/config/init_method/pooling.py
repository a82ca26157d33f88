"""Options of initialisers that weigh subtokens otherwise, or draw by script."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from franken.config.checks import at_least, in_range
from franken.config.init_method.base import Fallback, InitMethodConfig


class PoolingScheme(StrEnum):
    """Weights of a piece's k source tokens, for the input and for the output embeddings."""

    adaptivocab = "adaptivocab"
    """Input exp(rate i), so that the last token leads; output exp(-rate i), the first one."""
    last_first = "last_first"
    """Input: the last token alone. Output: decay^i from the first (transplant-vocab)."""
    first_last = "first_last"
    """Mean of the first and the last token (tokensurgeon)."""
    sum = "sum"
    """Weight 1 each (tokensurgeon): the rows come out too long."""
    uniform = "uniform"
    """1/k each: ``subtoken_mean``."""


@dataclass
class WeightedPoolingInit(InitMethodConfig):
    """Weighted mean of the source rows of the piece's own subtokens, by their position."""

    name: str = "weighted_pooling"
    scheme: PoolingScheme = PoolingScheme.adaptivocab
    rate: float = 2.0
    """Exponent per position of ``adaptivocab``."""
    decay: float = 0.5
    """Factor per position of the output side of ``last_first``: 0 is the first token alone, 1 the
    mean."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("rate", self.rate, 0.0)
        yield from in_range("decay", self.decay, 0.0, 1.0)


@dataclass
class MergeInit(InitMethodConfig):
    """Mean over the target's BPE merge tree, down to pieces that the source has."""

    name: str = "merge"
    fallback: Fallback = Fallback.subtoken_mean
    """Rule for pieces that no merge makes."""


class AlignStart(StrEnum):
    """What makes the rows that the text says nothing about."""

    auto = "auto"
    """``merge`` where the target is BPE, else ``subtoken_mean``."""
    merge = "merge"
    subtoken_mean = "subtoken_mean"


class AlignedPart(StrEnum):
    """Which embeddings take the weights from text; the others keep those of the start."""

    both = "both"
    input = "input"
    output = "output"


@dataclass
class SpanAlignInit(InitMethodConfig):
    """Mean of the source tokens that cover the piece in running text (Yamaguchi et al. 2024)."""

    name: str = "span_align"
    start: AlignStart = AlignStart.auto
    megabytes: float = 10.0
    """Text read per target language; the paper has 0.01 GB."""
    min_count: int = 1
    """Pieces seen less often keep the start."""
    consider_mean: bool = False
    """Count the plain segmentation of the piece once more, as often as its most frequent cover."""
    partial_overlap: bool = True
    """Count source tokens that reach over one end of the piece; the release drops them."""
    part: AlignedPart = AlignedPart.both

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("megabytes", self.megabytes, 0.0)
        yield from at_least("min_count", self.min_count, 1)


@dataclass
class EmbeddingStructureInit(InitMethodConfig):
    """Rows drawn from the source rows of the same script and position in the word."""

    name: str = "embedding_structure"
    position: bool = True
    """Whether word-initial and word-medial pieces are classes of their own."""
    min_rows: int = 2
    """Classes with fewer source rows draw from all rows: one row has no deviation."""
    parity: bool = False
    """Draw control tokens too, by the letters of their names, over their copies, as released."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("min_rows", self.min_rows, 1)


OPTIONS: dict[str, type[InitMethodConfig]] = {
    "weighted_pooling": WeightedPoolingInit,
    "merge": MergeInit,
    "span_align": SpanAlignInit,
    "embedding_structure": EmbeddingStructureInit,
}
