"""CLP+: sparsemax over the helper's cosines with all shared tokens (Yamaguchi et al. 2024).

FOCUS with the helper's rows as auxiliary vectors (arXiv 2402.10712): a convex mixture of few
shared tokens. An untied head has weights of its own where the helper has a head.
"""

from transformers import PreTrainedTokenizerBase

from franken.config.init_method.donor import ClpPlusInit, Rescale
from franken.init_method.anchors import Coordinates, HelperSpace, check_helper, put_by_helper
from franken.init_method.builder import MapBuilder
from franken.init_method.fallback import build_with_fallback
from franken.init_method.heads import own_rows
from franken.init_method.neighbours import sparsemax_neighbours
from franken.init_method.norms import finish_norms
from franken.init_method.resources import InitResources
from franken.init_method.token_map import TokenMap
from franken.parts.table import Table

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
