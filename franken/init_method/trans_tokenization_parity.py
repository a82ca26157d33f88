"""Trans-Tokenization as released: the same fit with other defaults, see its options."""

from __future__ import annotations

from dataclasses import field

from franken.declare import option
from franken.init_method.trans_tokenization import (
    BorrowingConfig,
    EvidenceConfig,
    TransTokenizationInit,
)
from franken.token_map.options import NumberRule, PairCounts, SpecialRule, SpreadConfig


@option
class TransTokenizationParityInit(TransTokenizationInit):
    """Trans-Tokenization with its release's counts, beam, flooring and rules for numbers and
    control tokens.
    """

    copy_overlap: bool = False
    counts: PairCounts = PairCounts.expected
    beam_exponent: float | None = 4.0
    min_count: float = 10.0
    spread: SpreadConfig = field(default_factory=lambda: SpreadConfig(integer=True))
    evidence: EvidenceConfig = field(
        default_factory=lambda: EvidenceConfig(numbers=NumberRule.first_piece)
    )
    special: SpecialRule = SpecialRule.summed
    fallback: BorrowingConfig = field(
        default_factory=lambda: BorrowingConfig(ignore_word_start=False)
    )
