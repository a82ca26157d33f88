"""CLP+: sparsemax over the helper's cosines with all shared tokens (Yamaguchi et al. 2024).

FOCUS with the helper's rows as auxiliary vectors (arXiv 2402.10712): a convex mixture of few
shared tokens. An untied head has weights of its own where the helper has a head.
"""

from transformers import PreTrainedTokenizerBase

from franken.config.init_method.donor import ClpPlusInit, Rescale
from franken.parts.table import Table
from franken.token_map.anchors import Coordinates, HelperSpace, check_helper, put_by_helper
from franken.token_map.builder import MapBuilder
from franken.token_map.fallback import build_with_fallback
from franken.token_map.neighbours import sparsemax_neighbours
from franken.token_map.output_heads import own_rows
from franken.token_map.resources import InitResources
from franken.token_map.row_norms import finish_norms
from franken.token_map.token_map import TokenMap

__all__ = ["fit", "own_rows"]


def fit(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: ClpPlusInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map; errors as in :mod:`franken.init_method.salt`."""

    def weigh(space: HelperSpace) -> Coordinates:
        found = sparsemax_neighbours(
            space.token_rows, space.anchor_rows, temperature=config.temperature
        )
        return found.rows, found.columns, found.weights

    builder = MapBuilder(source, target, config, seed)
    put_by_helper(builder, check_helper(builder, resources), weigh)
    return finish_norms(build_with_fallback(builder, config.fallback), source.input, Rescale.none)
