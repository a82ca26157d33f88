"""Copy the overlap; every other row is the mean source row."""

from transformers import PreTrainedTokenizerBase

from franken.config.init_method import CopyOnlyInit, Fallback
from franken.parts.table import Table
from franken.token_map.builder import MapBuilder
from franken.token_map.resources import InitResources
from franken.token_map.token_map import TokenMap


def fit(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: CopyOnlyInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map; ``resources`` are not used."""
    builder = MapBuilder(source, target, config, seed)
    builder.copy_overlap()
    return builder.build(Fallback.mean)
