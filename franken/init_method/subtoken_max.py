"""Elementwise maximum over the source rows of the piece's own subtokens.

The max-pooling arm of Franken-Adapter's ablation: marginally behind the mean there. The bias of a
head, if any, is pooled the same way.
"""

from __future__ import annotations

from typing import ClassVar

from franken.declare import option
from franken.init_method.subtoken_mean import SubtokenMeanInit
from franken.lazy import later

with later():
    from franken.token_map.token_map import Reduce


@option
class SubtokenMaxInit(SubtokenMeanInit):
    """Elementwise maximum over the source rows of the piece's own subtokens."""

    paper: ClassVar[str] = "Franken-Adapter, ablation"

    name: str = "subtoken_max"

    def reduction(self) -> Reduce:
        """The largest entry of each dimension."""
        return Reduce.max
