"""tokensurgeon's ``common_interpolation``: a token from its nearest shared tokens in the helper.

Weights by least squares, by least squares of sum 1, or by inverse distance. The kernel is SALT's;
only the choice of neighbours differs.
"""

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from franken.config.init_method.donor import LocalLeastSquaresInit, LocalWeights, Rescale
from franken.init_method.anchors import Coordinates, HelperSpace, check_helper, put_by_helper
from franken.init_method.builder import MapBuilder
from franken.init_method.fallback import build_with_fallback
from franken.init_method.neighbours import top_neighbours
from franken.init_method.norms import finish_norms
from franken.init_method.projection import Support, projection_weights
from franken.init_method.resources import InitResources
from franken.init_method.token_map import TokenMap
from franken.parts.table import Table

_CHUNK_ROWS = 1024


def fit(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: LocalLeastSquaresInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map; errors as in :mod:`franken.init_method.salt`."""
    builder = MapBuilder(source, target, config, seed)
    helper = check_helper(builder, resources)
    put_by_helper(builder, helper, lambda space: _weigh(space, config))
    return finish_norms(build_with_fallback(builder, config.fallback), source.input, Rescale.none)


def _weigh(space: HelperSpace, config: LocalLeastSquaresInit) -> Coordinates:
    columns, scores = top_neighbours(
        space.token_rows, space.anchor_rows, config.k, metric=config.metric
    )
    support = Support.of_table(columns)
    if config.weights is LocalWeights.inverse_distance:
        if config.metric != "euclidean":
            scores = -_distances(space, columns)
        weights = _inverse_distance(-scores.double().numpy()).reshape(-1)
    else:
        solver = config.solver
        weights = projection_weights(
            space.token_rows,
            space.anchor_rows,
            support,
            rcond=solver.rcond,
            ridge=solver.ridge,
            center=solver.center or config.weights is LocalWeights.barycentric,
        )
    return support.rows, support.columns, weights


def _distances(space: HelperSpace, columns: torch.Tensor) -> torch.Tensor:
    """``(n, k)`` Euclidean distances to the chosen anchors."""
    parts = [
        (
            space.token_rows[start : start + _CHUNK_ROWS, None].float()
            - space.anchor_rows[columns[start : start + _CHUNK_ROWS]].float()
        ).norm(dim=2)
        for start in range(0, len(columns), _CHUNK_ROWS)
    ]
    return torch.cat(parts) if parts else torch.empty(columns.shape)


def _inverse_distance(distances: np.ndarray) -> np.ndarray:
    """Rows of weights proportional to 1 / distance; an anchor at distance 0 takes it all."""
    nearest = distances.min(1, keepdims=True)
    inverse = np.where(nearest > 0, nearest / np.maximum(distances, 1e-300), distances == 0)
    weights: np.ndarray = inverse / inverse.sum(1, keepdims=True)
    return weights
