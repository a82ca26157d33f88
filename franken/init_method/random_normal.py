"""Rows drawn from N(mean, std per dimension) of the source rows.

With ``copy_overlap`` (default) shared pieces are copied, as in the random arm of OFA
(ofa:ofa/random_init.py); without it only special tokens are, as in llm-cva (which draws those too).
The two are different baselines.
"""

from transformers import PreTrainedTokenizerBase

from franken.config.init_method import Fallback, RandomNormalInit
from franken.parts.table import Table
from franken.token_map.builder import MapBuilder
from franken.token_map.resources import InitResources
from franken.token_map.token_map import TokenMap


def fit(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: RandomNormalInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map; ``resources`` are not used."""
    builder = MapBuilder(source, target, config, seed)
    builder.copy_overlap()
    return builder.build(Fallback.normal)
