"""tokensurgeon's ``common_interpolation``: a token from its nearest shared tokens in the helper.

Weights by least squares, by least squares of sum 1, or by proximity. The kernel is SALT's;
only the choice of neighbours differs. Departure: a neighbour of negative cosine has no part in
proximity weights, and a token without any other follows the fallback. The release divides by the
sum of all cosines, which may vanish or be negative: its weights then explode, or turn the row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.init_method.common.helper import AnchorInit
from franken.lazy import later
from franken.token_map.options import Metric, Solver

with later():
    from franken.token_map.anchors import Coordinates, HelperSpace
    from franken.token_map.builder import MapBuilder
    from franken.token_map.neighbours import top_neighbours
    from franken.token_map.projection import Support, projection_weights

_EPS = 1e-6  # as released


class LocalWeights(StrEnum):
    """How the nearest anchors are weighted."""

    least_squares = "least_squares"
    barycentric = "barycentric"
    """Least squares whose weights sum to 1."""
    proximity = "proximity"
    """1 / distance, or the cosine (0 where it is negative), divided by their sum."""


@option
class LocalLeastSquaresInit(AnchorInit):
    """Least squares over the nearest shared tokens in the space of a target-language model
    (tokensurgeon).
    """

    paper: ClassVar[str] = "tokensurgeon, common_interpolation"

    version: ClassVar[int] = 2

    k: int = 64
    """Nearest anchors that take part."""
    metric: Metric = Metric.euclidean
    weights: LocalWeights = LocalWeights.least_squares
    solver: Solver = field(default_factory=Solver)

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("k", self.k, 1)

    def weigh(self, space: HelperSpace, builder: MapBuilder) -> Coordinates:
        columns, scores = top_neighbours(
            space.token_rows, space.anchor_rows, self.k, metric=self.metric
        )
        if self.weights is LocalWeights.proximity:
            near = scores.double()
            near = 1 / (-near).clamp_min(_EPS) if self.metric is Metric.euclidean else near.clamp(0)
            tokens, places = (near > 0).nonzero(as_tuple=True)
            shares = near / near.sum(1, keepdim=True)
            return tokens.numpy(), columns[tokens, places].numpy(), shares[tokens, places].numpy()
        support, solver = Support.of_table(columns), self.solver
        weights = projection_weights(
            space.token_rows,
            space.anchor_rows,
            support,
            rcond=solver.rcond,
            ridge=solver.ridge,
            center=solver.center or self.weights is LocalWeights.barycentric,
        )
        return support.rows, support.columns, weights
