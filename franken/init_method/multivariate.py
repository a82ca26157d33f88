"""Rows drawn from N(mean, scale * covariance) of the source rows (Hewitt 2021).

With ``scale`` 1e-5 this is the mean row plus a hair of noise along directions that the table uses;
transformers resizes with 1e-9, mergekit with 1.
"""

from transformers import PreTrainedTokenizerBase

from franken.config.init_method import Fallback, MultivariateInit
from franken.init_method.builder import MapBuilder
from franken.init_method.resources import InitResources
from franken.init_method.token_map import TokenMap
from franken.parts.table import Table


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
