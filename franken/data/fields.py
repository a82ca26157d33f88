"""Picking fields out of records, alike for files and hub data sets."""

from collections.abc import Mapping
from typing import Any

from franken.data.readers import Row
from franken.errors import DataError

MISSING = object()


def pick(row: Row, name: str, fields: Mapping[str, str]) -> Any:
    """The value of one of our fields.

    Args:
        row: A record and where it stands.
        name: Our name of the field.
        fields: Our names -> the record's, with dots for nesting and ``|`` between alternatives;
            others stand for themselves.

    Raises:
        DataError: Naming the place, the field looked for and those found.
    """
    key = fields.get(name, name)
    value = find_any(row.record, key)
    if value is MISSING:
        raise DataError(
            f"{row.where}: has no field {key!r}; found: {', '.join(_keys(row.record)) or 'none'}. "
            f"Say where `{name}` stands with `fields: {{{name}: ...}}`"
        )
    return value


def find_any(record: Mapping[str, Any], keys: str) -> Any:
    """The value under the first key there is, of some divided by ``|``; or ``MISSING``."""
    found = (find(record, key) for key in keys.split("|"))
    return next((value for value in found if value is not MISSING), MISSING)


def find(record: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key, or ``MISSING``; a key that holds dots itself is found too."""
    if key in record:
        return record[key]
    value: Any = record
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return MISSING
        value = value[part]
    return value


def pick_text(row: Row, name: str, fields: Mapping[str, str]) -> str:
    """A field that must hold a string; white space at its ends is dropped, null is empty."""
    value = pick(row, name, fields)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(
            f"{row.where}: the field {fields.get(name, name)!r} holds {_shown(value)}, "
            "where a string is expected"
        )
    return _sound(value.strip(), row, fields.get(name, name))


def pick_texts(row: Row, name: str, fields: Mapping[str, str]) -> list[str]:
    """A field that holds a string or a list of strings (several translations)."""
    value = pick(row, name, fields)
    if not isinstance(value, list):
        return [pick_text(row, name, fields)]
    if not all(isinstance(item, str) for item in value):
        raise DataError(
            f"{row.where}: the field {fields.get(name, name)!r} holds {_shown(value)}, "
            "where a list of strings is expected"
        )
    return [_sound(item.strip(), row, fields.get(name, name)) for item in value]


def renamed(row: Row, fields: Mapping[str, str]) -> dict[str, Any]:
    """The record with our fields added under our names; the others stay."""
    return dict(row.record) | {name: pick(row, name, fields) for name in fields}


def _sound(text: str, row: Row, key: str) -> str:
    """The text, unless it holds half a surrogate pair, as JSON can write one."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{row.where}: character {error.start + 1} of the field {key!r} is half a surrogate "
            "pair, which no encoding can write; clean the file"
        ) from error
    return text


def _keys(record: Mapping[str, Any]) -> list[str]:
    """Keys with one level of nesting: ``translation.en``."""
    keys: list[str] = []
    for key, value in record.items():
        inner = value if isinstance(value, Mapping) else {}
        keys += [f"{key}.{name}" for name in inner] or [str(key)]
    return keys


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}"
