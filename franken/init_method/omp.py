"""tokensurgeon's ``omp``: a token as a sparse sum of shared tokens in the helper's space.

Goddard & Fernandes Neto 2025 (arXiv 2506.06607). The same coefficients make the row from the
source's rows of those tokens. Input and head are solved apart, each in its own table of the
helper. Departures: never more atoms than dimensions, and a token that is explained takes no more
(the release goes on into rounding noise); the coefficients are solved in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.init_method.common.helper import AnchorInit
from franken.lazy import later

with later():
    import numpy as np

    from franken.token_map.anchors import Coordinates, HelperSpace
    from franken.token_map.builder import MapBuilder
    from franken.token_map.matching_pursuit import pursue
    from franken.token_map.projection import projection_weights


@option
class OmpInit(AnchorInit):
    """Sparse sums of shared tokens, found greedily in the space of a target-language model
    (tokensurgeon omp).
    """

    paper: ClassVar[str] = "Goddard & Fernandes Neto 2025, arXiv 2506.06607"
    version: ClassVar[int] = 2

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

    def weigh(self, space: HelperSpace, builder: MapBuilder) -> Coordinates:
        table = space.table.to(space.device)  # read where it lies: no copy of the anchors
        support = pursue(
            space.token_rows,
            table,
            self.k,
            among=space.anchors,
            normalise=self.normalise,
            tolerance=self.tolerance,
        )
        weights = projection_weights(space.token_rows, table, support)
        return support.rows, np.searchsorted(space.anchors, support.columns), weights
