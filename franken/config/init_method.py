"""Options of the group ``init_method``: how the rows of a new embedding table are made."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from franken.config.checks import at_least


class Fallback(StrEnum):
    """Rule for rows that a method cannot compute."""

    mean = "mean"
    normal = "normal"
    multivariate = "multivariate"
    subtoken_mean = "subtoken_mean"


@dataclass
class InitMethodConfig:
    """What every initialiser has."""

    name: str = "subtoken_mean"
    copy_overlap: bool = True
    """Rows whose canonical bytes the source vocabulary also has are copied."""
    noise_std: float = 0.0
    """Gaussian noise on computed rows, in units of the source table's mean per-dimension std."""
    norm_match: bool = False
    """Rescale computed rows to the mean norm of the source rows (spec 9.4)."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("noise_std", self.noise_std, 0.0)


@dataclass
class CopyOnlyInit(InitMethodConfig):
    """Copy the overlap; every other row is the mean source row."""

    name: str = "copy_only"

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if not self.copy_overlap:
            yield "copy_overlap", "false leaves nothing to copy; that is init_method=mean"


@dataclass
class RandomNormalInit(InitMethodConfig):
    """Rows drawn from N(mean, std per dimension) of the source table."""

    name: str = "random_normal"


@dataclass
class MeanInit(InitMethodConfig):
    """Every new row is the mean source row."""

    name: str = "mean"


@dataclass
class MultivariateInit(InitMethodConfig):
    """Rows drawn from N(mean, scale * covariance) of the source table (Hewitt)."""

    name: str = "multivariate"
    scale: float = 1e-5
    """Factor on the covariance; tools differ (1e-9, 1e-5, 1), see init_methods 3.3."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("scale", self.scale, 0.0)


@dataclass
class SubtokenMeanInit(InitMethodConfig):
    """Mean of the source rows of the piece's own subtokens (Gee et al. 2022)."""

    name: str = "subtoken_mean"


@dataclass
class SubtokenMaxInit(InitMethodConfig):
    """Elementwise maximum over the source rows of the piece's own subtokens."""

    name: str = "subtoken_max"


@dataclass
class LexiconInit(InitMethodConfig):
    """Mean of the source rows of a word's dictionary translations."""

    name: str = "lexicon"
    fallback: Fallback = Fallback.subtoken_mean
    """Rule for pieces that the lexicon does not know."""
    prefix_min_chars: int = 0
    """When > 0, a word-initial piece of at least so many characters that no entry equals takes the
    mean of the entries it begins (stems of inflected words), each weighted by the share of its
    letters that the piece has; 0 means exact entries only."""
    stem_min_chars: int = 0
    """When > 0, a word-initial piece that no entry equals takes the longest entry of at least so
    many characters that begins it (inflected forms of listed words); tried before
    prefix_min_chars."""
    internal_min_chars: int = 3
    """Pieces without a leading space count as words from this length on: shorter ones are mostly
    parts of words. 1 suits scripts that write no spaces."""
    lexicon_first: bool = False
    """Whether shared pieces that are words of the lexicon take their translation instead of their
    copy. Indonesian "air" (water) gains, and English "air" loses its row."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("prefix_min_chars", self.prefix_min_chars, 0)
        yield from at_least("stem_min_chars", self.stem_min_chars, 0)
        yield from at_least("internal_min_chars", self.internal_min_chars, 1)
