"""Rows drawn from N(mean, std per dimension) of the source rows.

With ``copy_overlap`` (default) shared pieces are copied, as in the random arm of OFA
(ofa:ofa/random_init.py); without it only special tokens are, as in llm-cva (which draws those too).
The two are different baselines.
"""

from __future__ import annotations

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
class RandomNormalInit(InitMethod):
    """Rows drawn from N(mean, std per dimension) of the source rows; shared pieces copied."""

    name: str = "random_normal"

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
        return builder.build(Fallback.normal)
