"""UNKs Everywhere (Pfeiffer et al. 2021): new rows in a factor space of the old table.

``E ~ F G`` with ``F`` ``(V, D')`` and ``G`` ``(D', D)`` (arXiv 2012.15562). ``G`` holds what all
languages share and stays; a new language gets an ``F'``: shared tokens take their row of ``F``
("lex"), the others are drawn from N(mean, std) of the rows of ``F``. The table is ``F' G``.

The paper factorises by semi-NMF and calls for training ``F'`` with ``G`` frozen. Departures: ``G``
is the truncated SVD, whose row space has the smallest error of all; with ``project_overlap: false``
shared tokens keep their whole row instead of ``F_o G``; the table is stored multiplied out, and is
tuned as any other. The K-means and neural variants with ten ``G`` are not here.
"""

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from franken.config.init_method import Fallback
from franken.config.init_method.donor import UnksEverywhereInit
from franken.parts.table import Table
from franken.token_map.builder import MapBuilder
from franken.token_map.coordinates import apply_low_rank, folded, old_rows
from franken.token_map.resources import InitResources
from franken.token_map.token_map import Provenance, TokenMap


def fit(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: UnksEverywhereInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Copies; everything else is drawn when the map is applied."""
    builder = MapBuilder(source, target, config, seed)
    builder.copy_overlap()
    builder.notes["factor_dim"] = min(config.dim, source.hidden_size)
    return builder.build(Fallback.normal)


def own_rows(token_map: TokenMap, source: Table, config: UnksEverywhereInit, part: str) -> Tensor:
    """``F' G``, with the rows that are taken over whole put in place."""
    old = source.matrices()[part]
    rank = min(config.dim, old.shape[1])
    table = folded(*apply_low_rank(token_map, old, rank, part=part), old.dtype)
    whole = token_map.provenance == int(Provenance.special)
    if not config.project_overlap:
        whole = token_map.copies()
    ids = whole.nonzero().flatten()
    table[ids] = old_rows(token_map, old, ids)
    return table
