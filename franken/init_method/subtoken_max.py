"""Elementwise maximum over the source rows of the piece's own subtokens.

The max-pooling arm of Franken-Adapter's ablation: marginally behind the mean there. The bias of a
head, if any, is pooled the same way.
"""

from transformers import PreTrainedTokenizerBase

from franken.config.init_method import Fallback, SubtokenMaxInit
from franken.parts.table import Table
from franken.token_map.builder import MapBuilder
from franken.token_map.resources import InitResources
from franken.token_map.token_map import Reduce, TokenMap


def fit(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: SubtokenMaxInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map; ``resources`` are not used."""
    builder = MapBuilder(source, target, config, seed)
    builder.copy_overlap()
    builder.pool_subtokens()
    return builder.build(Fallback.mean, reduce=Reduce.max)
