"""Elementwise maximum over the source rows of the piece's own subtokens.

The max-pooling arm of Franken-Adapter's ablation: marginally behind the mean there. The bias of a
head, if any, is pooled the same way.
"""

from __future__ import annotations

from typing import ClassVar

from franken.declare import option
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import Reduce, TokenMap


@option
class SubtokenMaxInit(InitMethod):
    """Elementwise maximum over the source rows of the piece's own subtokens."""

    paper: ClassVar[str] = "Franken-Adapter, ablation"

    name: str = "subtoken_max"

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map; ``resources`` are not used."""
        builder = MapBuilder(source, target, self, seed)
        builder.copy_overlap()
        builder.pool_subtokens()
        return builder.build(Fallback.mean, reduce=Reduce.max)
