"""Methods by name: a file of this package, or an entry point of ``franken.init_method``."""

import importlib
import pkgutil
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from torch import Tensor

from franken.config.checks import hint
from franken.errors import ConfigError
from franken.token_map.token_map import TokenMap

FitFunction = Callable[..., TokenMap]
"""``fit(source, target, config, resources, seed) -> TokenMap``."""

GivenRows = Callable[..., Tensor | None]
"""``given_rows(token_map, target, config, part)``: ``(n, D)`` rows for ids of provenance ``given``,
or ``None`` where there are none for this part."""

OwnRows = Callable[..., Tensor | None]
"""``own_rows(token_map, source, config, part)``: from the old table, ``(T, D)`` rows of its part
``input`` or ``output`` instead of ``W @ rows``, or ``None`` where these options want the plain
product."""

SaveBeside = Callable[..., None]
"""``save_beside(token_map, source, config, directory)``: further files of an initialisation."""

_SHARED = {"registry"}
"""Modules of this package that are no methods."""


def method_names() -> list[str]:
    """Names of all methods: those of this package, then those of others."""
    own = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])} - _SHARED
    return [*sorted(own), *sorted(set(_points()) - own)]


def load_method(name: str) -> FitFunction:
    """The function that fits a method's maps; imported now and not before.

    Raises:
        ConfigError: for an unknown name; lists the known ones and the nearest.
    """
    known = method_names()
    if name not in known:
        raise ConfigError(f"init_method.name: unknown {name!r}.{hint(name, known)}")
    points = _points()
    if name in points:
        loaded: FitFunction = points[name].load()
        return loaded
    module: Any = importlib.import_module(f"franken.init_method.{name}")
    fit: FitFunction = module.fit
    return fit


def load_given_rows(name: str) -> GivenRows | None:
    """The function of a method whose maps count on rows made elsewhere; ``None`` for the others."""
    found: GivenRows | None = _beside_fit(name, "given_rows")
    return found


def load_own_rows(name: str) -> OwnRows | None:
    """The function of a method that does not always make rows by ``W E``; ``None`` for others."""
    found: OwnRows | None = _beside_fit(name, "own_rows")
    return found


def load_save_beside(name: str) -> SaveBeside | None:
    """The function of a method that keeps more than map and table; ``None`` for the others."""
    found: SaveBeside | None = _beside_fit(name, "save_beside")
    return found


def _beside_fit(name: str, function: str) -> Any:
    """An optional function beside a method's ``fit``; methods of other packages have none."""
    if name in _points():
        return None
    return getattr(importlib.import_module(f"franken.init_method.{name}"), function, None)


def _points() -> dict[str, EntryPoint]:
    own = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])}
    points = entry_points(group="franken.init_method")
    return {point.name: point for point in points if point.name not in own}
