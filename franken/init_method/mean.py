"""Every new row is the mean source row.

Adding n such rows to the head raises the partition function by at most n / V (Jensen), so old
tokens keep their probability; Hewitt 2021, nlp.stanford.edu/~johnhew/vocab-expansion.html. Rows are
identical until their inputs differ: ``noise_std`` breaks the tie.
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
    from franken.token_map.token_map import TokenMap


@option
class MeanInit(InitMethod):
    """Every new row is the mean source row; shared pieces copied."""

    paper: ClassVar[str] = "Hewitt 2021"

    name: str = "mean"

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
        return builder.build(Fallback.mean)
