"""CLP+: sparsemax over the helper's cosines with all shared tokens (Yamaguchi et al. 2024).

FOCUS with the helper's rows as auxiliary vectors (arXiv 2402.10712): a convex mixture of few
shared tokens. An untied head has weights of its own where the helper has a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.init_method.common.helper import AnchorInit
from franken.lazy import later

with later():
    from franken.token_map.anchors import Coordinates, HelperSpace
    from franken.token_map.builder import MapBuilder
    from franken.token_map.sparsemax import sparsemax_neighbours


@option
class ClpPlusInit(AnchorInit):
    """As clp, with few shared tokens and positive weights: sparsemax over the cosines (CLP+)."""

    paper: ClassVar[str] = "Yamaguchi et al. 2024, arXiv 2402.10712"

    temperature: float = 1.0
    """Divides the cosines; smaller is sparser."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("temperature", self.temperature, 1e-6)

    def weigh(self, space: HelperSpace, builder: MapBuilder) -> Coordinates:
        found = sparsemax_neighbours(
            space.token_rows, space.anchor_rows, temperature=self.temperature
        )
        return found.rows, found.columns, found.weights
