"""Mean of the source rows of the piece's own subtokens (Gee et al. 2022, arXiv 2402.09977).

The choice of Franken-Adapter (section 2.2 of its paper). The source tokenizer encodes the piece's
bytes without bos and without its automatic leading space; a leading space of the piece is kept.
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
class SubtokenMeanInit(InitMethod):
    """Mean of the source rows of the piece's own subtokens (Fast Vocabulary Transfer)."""

    paper: ClassVar[str] = "Gee et al. 2022, arXiv 2402.09977"

    name: str = "subtoken_mean"

    def reduction(self) -> Reduce:
        """What becomes of the rows of a piece's subtokens."""
        return Reduce.sum

    def fit(
        self, source: Table, target: PreTrainedTokenizerBase, resources: InitResources, seed: int
    ) -> TokenMap:
        """Fit the map; ``resources`` are not used."""
        builder = MapBuilder(source, target, self, seed)
        builder.copy_overlap()
        builder.pool_subtokens()
        return builder.build(Fallback.mean, reduce=self.reduction())
