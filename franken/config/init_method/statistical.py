"""Options of initialisers that look at nothing but the two vocabularies and the source rows."""

from collections.abc import Iterator
from dataclasses import dataclass

from franken.config.checks import at_least
from franken.config.init_method.base import InitMethodConfig


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


OPTIONS: dict[str, type[InitMethodConfig]] = {
    "copy_only": CopyOnlyInit,
    "random_normal": RandomNormalInit,
    "mean": MeanInit,
    "multivariate": MultivariateInit,
    "subtoken_mean": SubtokenMeanInit,
    "subtoken_max": SubtokenMaxInit,
}
