"""UNKs Everywhere (Pfeiffer et al. 2021): new rows in a factor space of the old table.

``E ~ F G`` with ``F`` ``(V, D')`` and ``G`` ``(D', D)`` (arXiv 2012.15562). ``G`` holds what all
languages share and stays; a new language gets an ``F'``: shared tokens take their row of ``F``
("lex"), the others are drawn from N(mean, std) of the rows of ``F``. The table is ``F' G``.

The paper factorises by semi-NMF and calls for training ``F'`` with ``G`` frozen. Departures: ``G``
is the truncated SVD, whose row space has the smallest error of all; with ``project_overlap: false``
shared tokens keep their whole row instead of ``F_o G``; the table is stored multiplied out, and is
tuned as any other.

``groups`` above 1 is MF10 by K-means: source rows are clustered, each cluster has its ``F`` and
``G``, and shared tokens are in the cluster of their row. In the paper a new token learns a mixture
over the ``G``; here it begins in one, drawn by the clusters' sizes. The neural variant is not here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback

with later():
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.seeds import derive_seed
    from franken.token_map.builder import MapBuilder
    from franken.token_map.clusters import k_means
    from franken.token_map.coordinates import apply_low_rank, folded, old_rows
    from franken.token_map.normal_rows import standard_normal
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import DrawClasses, Provenance, TokenMap


@option
class UnksEverywhereInit(InitMethod):
    """Shared rows copied, the others drawn in a low-rank factor space of the source table (UNKs
    Everywhere).
    """

    paper: ClassVar[str] = "Pfeiffer et al. 2021, arXiv 2012.15562"

    map_says_all: ClassVar[bool] = False
    came_later: ClassVar[tuple[str, ...]] = ("groups",)

    dim: int = 100
    """D' of the factorisation E = F G; at most the width of the table."""
    groups: int = 1
    """Clusters of source rows (K-means) with a factorisation each; the paper has 1 and 10."""
    project_overlap: bool = False
    """Shared tokens get ``F_o G``, as in the paper, instead of their whole row: what the
    factorisation misses is lost."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("dim", self.dim, 1)
        yield from at_least("groups", self.groups, 1)
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
        if self.groups == 1:
            return builder.build(Fallback.normal)
        token_map = builder.build(Fallback.normal)
        classes = self._clusters(source.input, token_map)
        token_map.provenance[classes.target >= 0] = int(Provenance.computed)
        notes = {**token_map.notes, "groups": classes.sizes()}
        return replace(token_map, classes=classes, notes=notes)

    def _clusters(self, old: Tensor, token_map: TokenMap) -> DrawClasses:
        """The cluster of every source row that stands for text, and of every row to be drawn."""
        seed = token_map.fallback.seed
        members = token_map.exemplars.nonzero().flatten()
        found = k_means(old[members], self.groups, seed=derive_seed(seed, "groups"))
        of_source = torch.full((len(old),), -1, dtype=torch.int32)
        of_source[members] = found.int()
        drawn = (token_map.provenance == int(Provenance.fallback)).nonzero().flatten()
        keys = [token_map.keys[row] for row in drawn.tolist()]
        places = torch.special.ndtr(standard_normal(keys, 1, seed=seed, purpose="group")[:, 0])
        shares = torch.bincount(found).cumsum(0) / len(found)
        of_target = torch.full((token_map.rows,), -1, dtype=torch.int32)
        last = len(shares) - 1
        of_target[drawn] = torch.searchsorted(shares, places.double()).clamp(max=last).int()
        return DrawClasses([f"group {g}" for g in range(len(shares))], of_source, of_target)

    def own_rows(self, token_map: TokenMap, source: Table, part: str) -> Tensor:
        """``F' G``, with the rows that are taken over whole put in place."""
        old = source.matrices()[part]
        rank = min(self.dim, old.shape[1])
        table = torch.empty(token_map.rows, old.shape[1], dtype=old.dtype)
        for group, ids in _groups(token_map):
            table[ids] = folded(*apply_low_rank(group, old, rank, part=part), old.dtype)[ids]
        whole = token_map.provenance == int(Provenance.special)
        if not self.project_overlap:
            whole = token_map.copies()
        ids = whole.nonzero().flatten()
        table[ids] = old_rows(token_map, old, ids)
        return table


def _groups(token_map: TokenMap) -> Iterator[tuple[TokenMap, Tensor]]:
    """For each factorisation the map over the source rows that it is of, and its new rows."""
    classes = token_map.classes
    if classes is None:
        yield token_map, torch.arange(token_map.rows)
        return
    of_row = classes.target.clone()
    copies = token_map.copies().nonzero().flatten()
    of_row[copies] = classes.source[token_map.indices[token_map.indptr[copies]].long()]
    for group in range(-1, len(classes.names)):
        members = token_map.exemplars if group < 0 else classes.source == group
        yield replace(token_map, exemplars=members), (of_row == group).nonzero().flatten()
