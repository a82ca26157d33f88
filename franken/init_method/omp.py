"""tokensurgeon's ``omp``: a token as a sparse sum of shared tokens in the helper's space.

Goddard & Fernandes Neto 2025 (arXiv 2506.06607). The same coefficients make the row from the
source's rows of those tokens. Input and head are solved apart, each in its own table of the
helper. Departures: never more atoms than dimensions, and a token that is explained takes no more
(the release goes on into rounding noise); the coefficients are solved in float64.
"""

from transformers import PreTrainedTokenizerBase

from franken.config.init_method.donor import OmpInit, Rescale
from franken.parts.table import Table
from franken.token_map.anchors import Coordinates, HelperSpace, check_helper, put_by_helper
from franken.token_map.builder import MapBuilder
from franken.token_map.fallback import build_with_fallback
from franken.token_map.matching_pursuit import pursue
from franken.token_map.output_heads import own_rows
from franken.token_map.projection import projection_weights
from franken.token_map.resources import InitResources
from franken.token_map.row_norms import finish_norms
from franken.token_map.token_map import TokenMap

__all__ = ["fit", "own_rows"]


def fit(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: OmpInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map; errors as in :mod:`franken.init_method.salt`."""

    def weigh(space: HelperSpace) -> Coordinates:
        support = pursue(
            space.token_rows,
            space.anchor_rows,
            config.k,
            normalise=config.normalise,
            tolerance=config.tolerance,
        )
        weights = projection_weights(space.token_rows, space.anchor_rows, support)
        return support.rows, support.columns, weights

    builder = MapBuilder(source, target, config, seed)
    put_by_helper(builder, check_helper(builder, resources), weigh)
    return finish_norms(build_with_fallback(builder, config.fallback), source.input, Rescale.none)
