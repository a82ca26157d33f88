"""Mean of the source rows of the piece's own subtokens (Gee et al. 2022, arXiv 2402.09977).

The choice of Franken-Adapter (section 2.2 of its paper). The source tokenizer encodes the piece's
bytes without bos and without its automatic leading space; a leading space of the piece is kept.
"""

from transformers import PreTrainedTokenizerBase

from franken.config.init_method import Fallback, SubtokenMeanInit
from franken.parts.table import Table
from franken.token_map.builder import MapBuilder
from franken.token_map.resources import InitResources
from franken.token_map.token_map import TokenMap


def fit(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: SubtokenMeanInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map; ``resources`` are not used."""
    builder = MapBuilder(source, target, config, seed)
    builder.copy_overlap()
    builder.pool_subtokens()
    return builder.build(Fallback.mean)
