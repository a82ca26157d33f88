"""A table on another body; the step ``swap`` does it."""

from enum import StrEnum

from franken.composition.base import Composition
from franken.declare import option


class SpecialRows(StrEnum):
    """Whose rows the control tokens take after a swap."""

    from_donor = "from_donor"
    """The model that gives the body; its turn markers stay what its body learnt."""
    from_adapted = "from_adapted"
    """The tuned table."""
    from_base = "from_base"
    """The base model that both descend from."""


@option
class SwapComposition(Composition):
    """Tuned table on another body of the same ancestry (Franken-Adapter step 2)."""

    special_rows: SpecialRows = SpecialRows.from_donor
    """Whose rows the control tokens take."""
