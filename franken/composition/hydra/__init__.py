"""Hydra LLMs: one body, several tables; read in one vocabulary, write in another."""

from collections.abc import Iterator
from dataclasses import field

from franken.composition.base import Composition
from franken.declare import option
from franken.lazy import later

with later(public=True):
    from franken.composition.hydra.model import HydraModel, View
    from franken.composition.hydra.routing import Segment, TableRouter
    from franken.composition.hydra.storage import HydraRef, assemble_hydra, load_hydra, open_hydra
    from franken.composition.hydra.writing import add_table, link_hydra, save_hydra, write_hydra

__all__ = [
    "HydraComposition",
    "HydraModel",
    "HydraRef",
    "Segment",
    "TableRouter",
    "View",
    "add_table",
    "assemble_hydra",
    "link_hydra",
    "load_hydra",
    "open_hydra",
    "save_hydra",
    "write_hydra",
]


@option
class HydraComposition(Composition):
    """Several tables on one body, chosen by segment: read in one vocabulary, write in another."""

    languages: dict[str, str] = field(default_factory=lambda: {"en": "source"})
    """Language or tag -> name of the table that serves it; a table also serves its own name."""
    scripts: dict[str, list[str]] = field(default_factory=dict)
    """Table -> Unicode scripts that go to it where a text has no tag."""
    default: str | None = "target"
    """Table of everything else; ``null``: such text is an error."""

    def faults(self) -> Iterator[tuple[str, str]]:
        seen: dict[str, str] = {}
        for table, scripts in self.scripts.items():
            for script in scripts:
                if seen.setdefault(script, table) != table:
                    yield f"scripts.{table}", f"{script} goes to {seen[script]!r} already"
