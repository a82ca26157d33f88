"""FLORES in all its published forms: pairs of sentences by language."""

from collections.abc import Mapping
from typing import Any

from franken.data.fields import MISSING, find
from franken.data.origin import Origin
from franken.data.readers import Row
from franken.errors import DataError


def join_languages(source: Origin, target: Origin) -> list[dict[str, Any]]:
    """Rows ``id, sentence_<source>, sentence_<language>`` in our language codes.

    Two published forms are read. Pair rows hold both sentences (``facebook/flores`` with a pair
    config); rows of one language (``flores_plus``, or one sentence per line) are joined by ``id``
    where both sides have it, else by position.

    Args:
        source: The set in the source language.
        target: The set in another language.

    Raises:
        DataError: If the two sides do not match.
    """
    names = [f"sentence_{code}" for code in (source.lang, target.lang)]
    published = [f"sentence_{target.places[place]}" for place in ("{source}", "{lang}")]
    rows = list(target.rows())
    for keys in (names, published):
        if rows and all(key in rows[0].record for key in keys):
            return [_pair_row(row, number, names, keys) for number, row in enumerate(rows)]
    sources = _sentences(source, list(source.rows()))
    targets = _sentences(target, rows)
    if sources.keys() != targets.keys():
        only = sorted(sources.keys() ^ targets.keys(), key=str)
        raise DataError(
            f"{target.key}: the sides {source.path} ({len(sources)} sentences) and {target.path} "
            f"({len(targets)}) do not match; first id on one side only: {only[0]}"
        )
    return [
        {"id": str(key), names[0]: text, names[1]: targets[key]} for key, text in sources.items()
    ]


def _pair_row(row: Row, number: int, names: list[str], keys: list[str]) -> dict[str, Any]:
    sentences = {name: row.record.get(key) for name, key in zip(names, keys, strict=True)}
    return {"id": str(row.record.get("id", number)), **sentences}


def _sentences(origin: Origin, rows: list[Row]) -> dict[Any, Any]:
    """Id, or position where rows have none, -> sentence."""
    found: dict[Any, Any] = {}
    for number, row in enumerate(rows):
        key = row.record.get("id", number)
        if key in found:
            raise DataError(f"{row.where}: the id {key!r} occurs a second time")
        found[key] = _sentence(row, origin.fields)
    return found


def _sentence(row: Row, fields: Mapping[str, str]) -> Any:
    for name in (fields.get("text", "text"), "sentence"):
        value = find(row.record, name)
        if value is not MISSING:
            return value
    raise DataError(
        f"{row.where}: has no field 'text' or 'sentence'; found: {', '.join(row.record)}"
    )
