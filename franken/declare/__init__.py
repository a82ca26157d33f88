"""Options that declare themselves: what Hydra's groups, help, docs, keys and tests are made from.

An option is one class in one file, ``franken/<group>/<name>.py``: its fields with their defaults
and a line of documentation each, what it needs, its faults, its paper, a version, and its code as
methods. The registry finds the modules of a group's package (a large option is a package of its
own, declared in its ``__init__``), so there is no list to keep. Other packages join by an entry
point, whose group is ``franken.<group>``, whose name is the option's, and whose object is the
class::

    [project.entry-points."franken.init_method"]
    my_method = "my_package.my_method:MyMethod"

Options of other groups are presets, written by people against a schema: a class under ``@schema``
in ``franken/config/<group>.py``.

Light: reading a declaration imports no torch (see :mod:`franken.lazy`).
"""

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, dataclass_transform, overload

from franken.config.checks import checks_itself, hint, members_by_name
from franken.errors import ConfigError

GROUPS = (
    "vocab", "init_method", "alignment", "word_vectors", "helper_model", "composition", "router",
    "preference", "distillation", "pair_loss", "inference", "logger",
)  # fmt: skip
"""Groups whose options declare themselves; each is a package ``franken.<group>``."""

_MARK = "__option_name__"
_WRITTEN = "__has_written_file__"
_Option = TypeVar("_Option", bound=type)


@overload
def option(cls: _Option, /) -> _Option: ...
@overload
def option(*, name: str) -> Callable[[_Option], _Option]: ...
@dataclass_transform()
def option(cls: Any = None, /, *, name: str | None = None) -> Any:
    """Make a class an option: a dataclass whose field ``name`` has the option's name.

    Args:
        cls: the class.
        name: where it is not that of the module, such as for several options in one file.
    """
    if cls is None:
        return lambda decorated: _declared(decorated, str(name))
    return _declared(cls, cls.__module__.rpartition(".")[2])


def _declared(cls: Any, name: str) -> Any:
    cls.__annotations__ = {"name": "str", **inspect.get_annotations(cls)}
    cls.name = name
    return checks_itself(declare(cls, name))


@dataclass_transform()
def schema(name: str, *, written: bool = False) -> Callable[[_Option], _Option]:
    """Make a class a schema of presets: a dataclass whose fields they set.

    Args:
        name: what a preset's file has in its defaults list, ``/schema/<group>/<name>@_here_``; the
            group is the name of the module.
        written: whether its defaults are an option too, under the default of the field ``name``,
            whose file then is written from it.
    """

    def made(cls: _Option) -> _Option:
        setattr(cls, _WRITTEN, written)
        declared: _Option = declare(cls, name)
        return declared

    return made


def declare(cls: Any, name: str) -> Any:
    """Make a class a dataclass that the registry finds under this name."""
    setattr(cls, _MARK, name)
    return members_by_name(dataclasses.dataclass(cls))


@cache
def options(group: str) -> dict[str, type[Any]]:
    """Name -> class of every option of a group: those of its package, then those of others.

    Raises:
        ConfigError: where an entry point names no option, or one whose name is taken.
    """
    package = importlib.import_module(f"franken.{group}")
    found: dict[str, type[Any]] = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name):
        if module.name != "base" and not module.name.startswith("_"):
            found |= declared_in(f"{package.__name__}.{module.name}")
    return found | _checked(group, found)


@cache
def preset_groups() -> tuple[str, ...]:
    """Groups whose options are presets: the modules of ``franken.config`` that hold schemas."""
    from franken import config

    names = [module.name for module in pkgutil.iter_modules(config.__path__)]
    return tuple(name for name in names if declared_in(f"{config.__name__}.{name}"))


@cache
def schemas(group: str) -> dict[str, type[Any]]:
    """Name -> class that files of a group are typed by; an option that declares itself is its own.

    Raises:
        ConfigError: as :func:`options`.
    """
    if group in GROUPS:
        return options(group)
    found = declared_in(f"franken.config.{group}")
    return found | _checked(group, found)


def _checked(group: str, own: dict[str, type[Any]]) -> dict[str, type[Any]]:
    found = {point.name: point.load() for point in entry_points_of(group)}
    for point in entry_points_of(group):
        if vars(found[point.name]).get(_MARK) != point.name or point.name in own:
            raise ConfigError(
                f"the entry point {point.name!r} of franken.{group} ({point.value}) must name a "
                f"class with @option(name={point.name!r}), and no option of franken's own"
            )
    return found


def entry_points_of(group: str) -> list[EntryPoint]:
    """What other packages add to a group, by name."""
    return _all_entry_points().get(group, [])


@cache
def _all_entry_points() -> dict[str, list[EntryPoint]]:
    """Group -> points; one look at what is installed serves all groups."""
    known: Any = entry_points()
    return {
        group.removeprefix("franken."): sorted(known.select(group=group), key=lambda p: str(p.name))
        for group in known.groups
        if group.startswith("franken.")
    }


def declared_name(cls: type[Any]) -> str:
    """The name under which a class is declared."""
    name: str = vars(cls)[_MARK]
    return name


def written_options(group: str) -> dict[str, type[Any]]:
    """Name -> class of the options of franken's own whose files say no more than they do."""
    own = [cls for cls in schemas(group).values() if cls.__module__.startswith("franken.")]
    return {cls().name: cls for cls in own if group in GROUPS or vars(cls).get(_WRITTEN)}


def declared_in(module: str) -> dict[str, type[Any]]:
    """Name -> class of the options that a module declares."""
    classes = vars(importlib.import_module(module)).values()
    return {
        vars(cls)[_MARK]: cls
        for cls in classes
        if isinstance(cls, type) and cls.__module__ == module and _MARK in vars(cls)
    }


def find(group: str, name: str) -> type[Any]:
    """The class of an option.

    Raises:
        ConfigError: for an unknown name; lists the known ones and the nearest.
    """
    known = options(group)
    if name not in known:
        raise ConfigError(f"{group}.name: unknown {name!r}.{hint(name, known)}")
    return known[name]
