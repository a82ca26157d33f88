"""Rows drawn from N(mean, scale * covariance) of the source rows (Hewitt 2021).

With ``scale`` 1e-5 this is the mean row plus a hair of noise along directions that the table uses;
transformers resizes with 1e-9, mergekit with 1.
"""

from transformers import PreTrainedTokenizerBase

from franken.config.init_method import Fallback, MultivariateInit
from franken.parts.table import Table
from franken.token_map.builder import MapBuilder
from franken.token_map.resources import InitResources
from franken.token_map.token_map import TokenMap


def fit(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: MultivariateInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map; ``resources`` are not used."""
    builder = MapBuilder(source, target, config, seed)
    builder.copy_overlap()
    return builder.build(Fallback.multivariate, scale=config.scale)
