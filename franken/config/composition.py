"""Options of the group ``composition``: how parts are put together."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class SpecialRows(StrEnum):
    """Whose rows the control tokens take after a swap."""

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


@dataclass
class HydraComposition(CompositionConfig):
    """Several tables on one body, chosen by segment (Trans-Tokenization 4)."""

    name: str = "hydra"
    languages: dict[str, str] = field(default_factory=dict)
    """Language or tag -> name of the table that serves it; a table also serves its own name."""
    scripts: dict[str, list[str]] = field(default_factory=dict)
    """Table -> Unicode scripts that go to it where a text has no tag."""
    default: str | None = None
    """Table of everything else; ``null``: such text is an error."""

    def faults(self) -> Iterator[tuple[str, str]]:
        seen: dict[str, str] = {}
        for table, scripts in self.scripts.items():
            for script in scripts:
                if seen.setdefault(script, table) != table:
                    yield f"scripts.{table}", f"{script} goes to {seen[script]!r} already"
