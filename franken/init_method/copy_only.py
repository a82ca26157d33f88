"""Copy the overlap; every other row is the mean source row."""

from transformers import PreTrainedTokenizerBase

from franken.config.init_method import CopyOnlyInit, Fallback
from franken.init_method.builder import MapBuilder
from franken.init_method.resources import InitResources
from franken.init_method.token_map import TokenMap
from franken.parts.table import Table


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
