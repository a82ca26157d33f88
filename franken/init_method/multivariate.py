"""Rows drawn from N(mean, scale * covariance) of the source rows (Hewitt 2021).

With ``scale`` 1e-5 this is the mean row plus a hair of noise along directions that the table uses;
transformers resizes with 1e-9, mergekit with 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import TokenMap


@option
class MultivariateInit(InitMethod):
    """Rows drawn from N(mean, scale * covariance) of the source rows (Hewitt); shared pieces
    copied.
    """

    paper: ClassVar[str] = "Hewitt 2021"

    scale: float = 1e-5
    """Factor on the covariance; tools differ: 1e-9 in transformers, 1 in mergekit."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("scale", self.scale, 0.0)

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map; ``resources`` are not used."""
        builder = MapBuilder(source, target, self, seed)
        builder.copy_overlap()
        return builder.build(Fallback.multivariate, scale=self.scale)
