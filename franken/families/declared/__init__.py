"""What cannot be read from a model, one file per family: ``DECLARED``, model type -> facts.

A fact is a field of :class:`franken.families.anatomy.Anatomy`; ``refused`` says why franken keeps
its hands off. Packages outside register theirs by an entry point of the group ``franken.families``,
whose name is a model type and whose value such a dict of facts::

    [project.entry-points."franken.families"]
    my_type = "my_package.families:FACTS"
"""

import functools
import importlib
import pkgutil
from importlib.metadata import entry_points
from typing import Any

GROUP = "franken.families"


@functools.cache
def _own() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for module in pkgutil.iter_modules(__path__):
        found |= importlib.import_module(f"{__name__}.{module.name}").DECLARED
    return found


def facts_of(family: str) -> dict[str, Any]:
    """What is declared of a model type; a registration from outside goes before our own."""
    for entry in entry_points(group=GROUP, name=family):
        facts: dict[str, Any] = entry.load()
        return facts
    return _own().get(family, {})
