"""Records of ``results.jsonl``: one score per line, checked when read."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from franken.errors import DataError
from franken.files import write_atomically
from franken.statistics import Units
from franken.statistics.units import UNITS_FILE

FILE_NAME = "results.jsonl"


@dataclass(frozen=True)
class Record:
    """One score of one model.

    ``variant`` is what distinguishes a job in a grid and empty where nothing does; ``key`` is the
    key of the evaluation step, so equal keys mean the very same result. ``extra`` holds whatever
    else stood in the line, of which the report uses ``chance``, ``lang_role``, ``truncated`` and
    ``signature``.
    """

    experiment: str
    recipe: str
    model: str
    variant: str
    task: str
    lang: str
    metric: str
    value: float
    n: int
    stderr: float | None
    seed: int
    key: str
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    units: Units | None = field(default=None, compare=False, repr=False)
    """The items that the score is made of, from ``units.jsonl`` beside the results."""

    def to_line(self) -> str:
        """The record as one line of JSON, without the line break."""
        own = {name: getattr(self, name) for name in FIELDS}
        return json.dumps({**own, **self.extra}, ensure_ascii=False, allow_nan=False)


FIELDS = tuple(f.name for f in fields(Record) if f.name not in ("extra", "units"))
"""What every line has."""
_TEXT = ("experiment", "recipe", "model", "variant", "task", "lang", "metric", "key")


def parse_record(content: Any, where: str) -> Record:
    """Check one record.

    Args:
        content: the parsed JSON of a line; unknown fields are kept in ``extra``.
        where: ``file:line`` for messages.

    Raises:
        DataError: naming the place, the field, and what was expected.
    """
    if not isinstance(content, dict):
        raise DataError(f"{where}: a record is a JSON object, found {type(content).__name__}")
    missing = [name for name in FIELDS if name not in content and name != "stderr"]
    if missing:
        raise DataError(
            f"{where}: the record lacks {', '.join(missing)}; a record has {', '.join(FIELDS)}"
        )
    for name in _TEXT:
        if not isinstance(content[name], str):
            raise DataError(f"{where}: {name} must be a text, found {content[name]!r}")
    for name in ("n", "seed"):
        if not isinstance(content[name], int) or isinstance(content[name], bool):
            raise DataError(f"{where}: {name} must be a whole number, found {content[name]!r}")
    if content["n"] < 1:
        raise DataError(f"{where}: n must be at least 1, found {content['n']}")
    value = _number(content["value"], where, "value")
    stderr = content.get("stderr")
    spread = None if stderr is None else _number(stderr, where, "stderr")
    if spread is not None and spread < 0:
        raise DataError(f"{where}: stderr must not be negative, found {stderr!r}")
    if content["metric"].startswith("acc") and not 0 <= value <= 1:
        raise DataError(
            f"{where}: {content['metric']} is an accuracy, a fraction in 0..1, found {value!r}"
        )
    nested = content.get("extra")
    extra = dict(nested) if isinstance(nested, dict) else {}
    extra |= {k: v for k, v in content.items() if k not in FIELDS and v is not nested}
    texts = {name: content[name] for name in _TEXT}
    return Record(
        **texts, value=value, n=content["n"], stderr=spread, seed=content["seed"], extra=extra
    )


def _number(value: Any, where: str, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"{where}: {name} must be a finite number, found {value!r}")
    return float(value)


def parse_records(contents: Iterable[Any], where: str = "record") -> list[Record]:
    """Check records that are already parsed JSON; ``Record`` objects pass as they are."""
    return [
        content if isinstance(content, Record) else parse_record(content, f"{where} {number}")
        for number, content in enumerate(contents, 1)
    ]


def read_records(path: Path) -> list[Record]:
    """Read ``results.jsonl``, or the one in a run directory.

    Raises:
        DataError: naming file and line of what is unreadable.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FILE_NAME
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); a run leaves its scores in {FILE_NAME}"
        ) from None
    records = []
    for number, line in enumerate(payload.split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            content = json.loads(line.decode())
        except UnicodeDecodeError as error:
            raise DataError(f"{where}: not UTF-8 at byte {error.start} of the line") from None
        except json.JSONDecodeError as error:
            raise DataError(
                f"{where}: not a line of JSON ({error.msg} at column {error.colno}); was the file "
                "cut off or edited? Run the experiment again: finished steps are not repeated"
            ) from None
        records.append(parse_record(content, where))
    return _with_units(records, path.parent / UNITS_FILE)


def _with_units(records: list[Record], path: Path) -> list[Record]:
    """The records with the items that they are made of, as far as these lie beside them."""
    if not path.is_file():
        return records
    found: dict[tuple[str, ...], Units] = {}
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if line.strip():
            try:
                content = json.loads(line)
                mark = tuple(str(content[name]) for name in ("key", "task", "lang", "metric"))
                found[mark] = Units.from_json(content)
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{path}:{number}: no line of items ({error}); remove the file, or run the "
                    "experiment again: finished steps are not repeated"
                ) from None
    marks = [(record.key, record.task, record.lang, record.metric) for record in records]
    return [replace(r, units=found.get(mark)) for r, mark in zip(records, marks, strict=True)]


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write records, one per line, replacing the file atomically."""
    write_atomically(path, "".join(record.to_line() + "\n" for record in records).encode())


def append_records(path: Path, records: Iterable[Record]) -> None:
    """Add records to a file that may not be there yet; the file is replaced atomically."""
    before = path.read_bytes() if path.exists() else b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    write_atomically(path, before + "".join(r.to_line() + "\n" for r in records).encode())
