"""Options of the group ``composition``: how parts are put together."""

from dataclasses import dataclass
from enum import StrEnum


class SpecialRows(StrEnum):
    """Whose rows the control tokens take after a swap (spec 9.2)."""

    from_donor = "from_donor"
    """The model that gives the body; its turn markers stay what its body learnt."""
    from_adapted = "from_adapted"
    """The tuned table."""
    from_base = "from_base"
    """The base model that both descend from."""


@dataclass
class CompositionConfig:
    """What every composition has."""

    name: str = "swap"


@dataclass
class SwapComposition(CompositionConfig):
    """Put a tuned table on another body of the same ancestry (Franken-Adapter 2.6)."""

    name: str = "swap"
    special_rows: SpecialRows = SpecialRows.from_donor
