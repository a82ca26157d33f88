"""What every config class shares: faults with keys, collected over a whole tree."""

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar

from franken.errors import ConfigError, did_you_mean

Config = TypeVar("Config")


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a config."""

    key: str
    """Dotted key as typed on the command line, e.g. ``training.adaptation.lr``."""
    message: str
    """What was found, what is valid, and what to do."""

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


def collect_faults(node: Any, prefix: str = "") -> list[Fault]:
    """Walk dataclasses, dicts and lists; gather what every ``faults()`` method yields.

    A config class may define ``faults(self) -> Iterator[tuple[str, str]]`` that yields pairs of a
    key relative to itself and a message.
    """
    found: list[Fault] = []
    if is_dataclass(node) and not isinstance(node, type):
        own = getattr(node, "faults", None)
        if own is not None:
            found += [Fault(join_key(prefix, key), message) for key, message in own()]
        found += [Fault(join_key(prefix, key), message) for key, message in _no_members(node)]
        children: Iterator[tuple[str, Any]] = (
            (f.name, getattr(node, f.name)) for f in fields(node)
        )
    elif isinstance(node, dict):
        children = ((str(key), value) for key, value in node.items())
    elif isinstance(node, list):
        children = ((str(index), value) for index, value in enumerate(node))
    else:
        return found
    for key, value in children:
        found += collect_faults(value, join_key(prefix, key))
    return found


def members_by_name(cls: Any) -> Any:
    """Make a dataclass take names for members of its enums, as the command line does.

    Code compares members by identity: a bare string would count as none of them, silently. What
    names none stays as it is, for :func:`collect_faults` to refuse.
    """
    make = cls.__init__
    enums = {f.name: type(f.default) for f in fields(cls) if isinstance(f.default, Enum)}

    @functools.wraps(make)
    def made(self: Any, *values: Any, **named: Any) -> None:
        make(self, *values, **named)
        for key, members in enums.items():
            if isinstance(given := getattr(self, key), str) and given in members.__members__:
                object.__setattr__(self, key, members[given])

    if enums:
        cls.__init__ = made
    return cls


def _no_members(node: Any) -> Iterator[tuple[str, str]]:
    for item in fields(node):
        value = getattr(node, item.name)
        if (
            isinstance(item.default, Enum)
            and isinstance(value, str)
            and not isinstance(value, Enum)
        ):
            names = list(type(item.default).__members__)
            yield item.name, f"{value!r} is none of its choices.{hint(value, names)}"


def checked(config: Config, where: str) -> Config:
    """The same options, if nothing is wrong with them.

    Raises:
        ConfigError: names every field at fault, what it holds and what is valid.
    """
    if faults := collect_faults(config):
        raise ConfigError("\n".join(f"{where}: {fault}" for fault in faults))
    return config


_collecting: ContextVar[bool] = ContextVar("_collecting", default=False)


@contextmanager
def faults_later() -> Iterator[None]:
    """Make options without a check, as where all faults of a config are to be found together."""
    before = _collecting.set(True)
    try:
        yield
    finally:
        _collecting.reset(before)


def checks_itself(cls: Any) -> Any:
    """Make a dataclass refuse values when it is made: those that are not its defaults.

    What only the user can know, such as the path of a file, is missing until options are used.
    """
    make = cls.__init__
    known = {item.name: item for item in fields(cls) if item.init}
    names = list(known)

    @functools.wraps(make)
    def checked_make(self: Any, *values: Any, **named: Any) -> None:
        make(self, *values, **named)
        given = [*names[: len(values)], *named]
        if not given or _collecting.get() or type(self) is not cls:
            return
        own = {key for key in given if getattr(self, key) != _default(known[key])}
        faults = [f for f in collect_faults(self) if f.key.partition(".")[0] in own]
        if faults:
            raise ConfigError("\n".join(f"{cls.__name__}: {fault}" for fault in faults))

    cls.__init__ = checked_make
    return cls


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def join_key(prefix: str, key: str) -> str:
    """``join_key("data", "languages") == "data.languages"``; either side may be empty."""
    return f"{prefix}.{key}" if prefix and key else prefix or key


def at_least(key: str, value: float | None, minimum: float) -> Iterator[tuple[str, str]]:
    """A fault when ``value`` is given and lies below ``minimum``."""
    if value is not None and value < minimum:
        yield key, f"must be at least {minimum}, got {value}"


def in_range(key: str, value: float | None, low: float, high: float) -> Iterator[tuple[str, str]]:
    """A fault when ``value`` is given and lies outside ``[low, high]``."""
    if value is not None and not low <= value <= high:
        yield key, f"must lie between {low} and {high}, got {value}"


def is_folder_name(name: str) -> bool:
    """Whether a name can be that of a directory and of a tag in a text."""
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\<> \t\n")


def hint(word: str, valid: Iterable[Any], *, what: str = "Valid") -> str:
    """`` Did you mean 'swap'? Valid: hydra, swap.``: the end of a message about a wrong name."""
    names = sorted(map(str, valid))
    return f"{did_you_mean(word, names)} {what}: {', '.join(names) or '(none)'}."
