"""What readers of evaluation schemas share: looking into a row's columns."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Columns = Mapping[str, Any]


class Context(NamedTuple):
    """What a reader knows beside the row."""

    lang: str
    source_lang: str
    labels: tuple[str, ...]
    culture: str | None = None
    """Language whose countries are asked about; ``None``: any."""


class Misfit(Exception):
    """A row that does not fit its schema."""


class LeftOut(Exception):
    """A sound row that is left out: about no country of the language wanted, or unanswerable."""


def text(row: Columns, *names: str) -> str:
    """The first of the columns that is there, as a string with content."""
    for name in names:
        if name in row:
            value = row[name]
            if not isinstance(value, str | int | float) or not str(value).strip():
                raise Misfit(f"the column {name!r} holds {value!r}, where a text is expected")
            return str(value).strip()
    raise _missing(row, " or ".join(map(repr, names)))


def value_of(row: Columns, name: str) -> Any:
    """A column of any type."""
    if name not in row:
        raise _missing(row, repr(name))
    return row[name]


def _missing(row: Columns, names: str) -> Misfit:
    found = ", ".join(sorted(map(str, row)))
    return Misfit(f"the column {names} is missing; found: {found}")


def one_of(row: Columns, name: str, valid: Mapping[str, int]) -> int:
    """The index that the value of a column stands for."""
    value = text(row, name)
    if value not in valid:
        raise Misfit(f"{name} is {value!r}; valid: {', '.join(valid)}")
    return valid[value]
