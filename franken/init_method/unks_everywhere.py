"""UNKs Everywhere (Pfeiffer et al. 2021): new rows in a factor space of the old table.

``E ~ F G`` with ``F`` ``(V, D')`` and ``G`` ``(D', D)`` (arXiv 2012.15562). ``G`` holds what all
languages share and stays; a new language gets an ``F'``: shared tokens take their row of ``F``
("lex"), the others are drawn from N(mean, std) of the rows of ``F``. The table is ``F' G``.

The paper factorises by semi-NMF and calls for training ``F'`` with ``G`` frozen. Departures: ``G``
is the truncated SVD, whose row space has the smallest error of all; with ``project_overlap: false``
shared tokens keep their whole row instead of ``F_o G``; the table is stored multiplied out, and is
tuned as any other. The K-means and neural variants with ten ``G`` are not here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback

with later():
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.coordinates import apply_low_rank, folded, old_rows
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import Provenance, TokenMap


@option
class UnksEverywhereInit(InitMethod):
    """Shared rows copied, the others drawn in a low-rank factor space of the source table (UNKs
    Everywhere).
    """

    paper: ClassVar[str] = "Pfeiffer et al. 2021, arXiv 2012.15562"

    map_says_all: ClassVar[bool] = False

    dim: int = 100
    """D' of the factorisation E = F G; at most the width of the table."""
    project_overlap: bool = False
    """Shared tokens get ``F_o G``, as in the paper, instead of their whole row: what the
    factorisation misses is lost."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("dim", self.dim, 1)
        if self.project_overlap and not self.copy_overlap:
            yield "project_overlap", "has nothing to project with copy_overlap=false"

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Copies; everything else is drawn when the map is applied."""
        builder = MapBuilder(source, target, self, seed)
        builder.copy_overlap()
        builder.notes["factor_dim"] = min(self.dim, source.hidden_size)
        return builder.build(Fallback.normal)

    def own_rows(self, token_map: TokenMap, source: Table, part: str) -> Tensor:
        """``F' G``, with the rows that are taken over whole put in place."""
        old = source.matrices()[part]
        rank = min(self.dim, old.shape[1])
        table = folded(*apply_low_rank(token_map, old, rank, part=part), old.dtype)
        whole = token_map.provenance == int(Provenance.special)
        if not self.project_overlap:
            whole = token_map.copies()
        ids = whole.nonzero().flatten()
        table[ids] = old_rows(token_map, old, ids)
        return table
