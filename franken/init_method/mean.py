"""Every new row is the mean source row.

Adding n such rows to the head raises the partition function by at most n / V (Jensen), so old
tokens keep their probability; Hewitt 2021, nlp.stanford.edu/~johnhew/vocab-expansion.html. Rows are
identical until their inputs differ: ``noise_std`` breaks the tie.
"""

from transformers import PreTrainedTokenizerBase

from franken.config.init_method import Fallback, MeanInit
from franken.parts.table import Table
from franken.token_map.builder import MapBuilder
from franken.token_map.resources import InitResources
from franken.token_map.token_map import TokenMap


def fit(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: MeanInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map; ``resources`` are not used."""
    builder = MapBuilder(source, target, config, seed)
    builder.copy_overlap()
    return builder.build(Fallback.mean)
