"""The ceiling for aligners: Trans-Tokenization with gold links, where the data has them."""

from __future__ import annotations

from franken.declare import option
from franken.init_method.trans_tokenization import TransTokenizationInit


@option
class GoldAlignmentInit(TransTokenizationInit):
    """Trans-Tokenization with the gold word links of the data (the embedded world has them): the
    ceiling.
    """

    def needs(self) -> frozenset[str]:
        return frozenset({"gold_alignment"})
