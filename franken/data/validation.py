"""Looking at every configured input before work starts."""

import logging
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Protocol

from franken.config.data import FileData
from franken.data.origin import Origin
from franken.data.readers import open_file
from franken.data.schemas import read_items, schema_names
from franken.data.source import ROLES, SOURCE_ROLES, TEXT_STREAMS, TRAIN, VALID, DataSource
from franken.errors import DataError

logger = logging.getLogger(__name__)

HEAD = 1000
"""Records looked at in each file; what lies behind them is checked while it is read."""
HUB_HEAD = 20
COUNTED_BYTES = 1 << 28
"""Lines of aligned text files are counted up to this size, in larger ones on reading."""


class Configured(DataSource, Protocol):
    """A source whose every input has an origin in the configuration."""

    config: FileData

    def role_origins(self, role: str, split: str) -> list[Origin]:
        """The source of a role's split in every language it has."""
        ...

    def absent(self) -> dict[str, dict[str, str]]:
        """Optional sources that are left out: key -> languages."""
        ...

    def task_origin(self, task: str, lang: str, part: str, *, every: bool = False) -> Origin:
        """Where a part of an evaluation set lies in one language."""
        ...


def validate_files(source: Configured) -> None:
    """Check that all inputs exist, hold records, and that their first records fit.

    Args:
        source: A source that has not been read.

    Raises:
        DataError: All faults together, one per line.
    """
    checks: list[Callable[[], None]] = [_bind(_note_absent, source)]
    for role in (*TEXT_STREAMS, "parallel", "lexicon", "instructions", "preferences"):
        for split in (TRAIN, VALID):
            checks += _role_checks(source, role, split)
    for task in source.tasks():
        checks += _task_checks(source, task)
    faults: list[str] = []
    for check in checks:
        try:
            check()
        except DataError as error:
            faults.append(str(error))
    if faults:
        listed = dict.fromkeys(faults)
        raise DataError("the data cannot be used:\n" + "\n".join(f"- {fault}" for fault in listed))


def _note_absent(source: Configured) -> None:
    """Say which optional sources are left out; where that is all of them, the root is wrong."""
    absent = source.absent()
    roles = [role for role in ROLES if source.has(role)]
    if absent and not roles and not source.tasks():
        tried = (f"{next(iter(paths.values()))} ({key})" for key, paths in sorted(absent.items()))
        raise DataError(
            f"data.root: there is no file of any role under {source.config.root}; looked for "
            f"{', '.join(tried)}. Name files by these, or set the keys' path"
        )
    for key, languages in sorted(absent.items()):
        if not key.endswith(f".{VALID}"):
            logger.warning("%s: no file for %s; left out", key, ", ".join(languages))


def _role_checks(source: Configured, role: str, split: str) -> list[Callable[[], None]]:
    origins = source.role_origins(role, split)
    checks = [_bind(_check_same_text, origins)] if role not in SOURCE_ROLES else []
    for origin in origins:
        checks += [_bind(_check_files, origin), _bind(_check_head, source, role, split, origin)]
    return checks


def _task_checks(source: Configured, task: str) -> list[Callable[[], None]]:
    schema = source.task_schema(task)
    if schema not in schema_names():
        return [_bind(_refuse_schema, task, schema)]
    return [
        _bind(_check_task, source, task, lang, part)
        for lang in source.task_languages(task)
        for part in source.task_parts(task)
    ]


def _bind(check: Callable[..., None], *arguments: Any) -> Callable[[], None]:
    return lambda: check(*arguments)


def _check_same_text(origins: list[Origin]) -> None:
    """No two languages may read the same records."""
    seen: dict[tuple[Any, ...], Origin] = {}
    for origin in origins:
        place = (origin.path, origin.config, origin.split, *sorted(origin.fields.items()))
        place += (origin.source.target_path and origin.fill(origin.source.target_path),)
        if place in seen:
            raise DataError(
                f"{origin.key}: languages {seen[place].lang!r} and {origin.lang!r} would read the "
                f"same records of {origin.path}; put {{lang}} into the path, the config or a "
                "field, or set `languages` of this source"
            )
        seen[place] = origin


def _check_files(origin: Origin) -> None:
    for path in origin.files():
        if path.stat().st_size == 0:
            raise DataError(f"{origin.key}: the file {path} is empty")
    if origin.source.target_path is not None and not origin.is_hub:
        left, right = origin.files()
        if max(left.stat().st_size, right.stat().st_size) <= COUNTED_BYTES:
            counts = [_line_count(path) for path in (left, right)]
            if counts[0] != counts[1]:
                raise DataError(
                    f"{origin.key}: {left} has {counts[0]} lines and {right} has {counts[1]}; the "
                    "two sides of a parallel text must match line by line"
                )


def _line_count(path: Any) -> int:
    with open_file(path) as handle:
        return sum(1 for _ in handle)


def _check_head(source: Configured, role: str, split: str, origin: Origin) -> None:
    records = _records(source, role, split, origin.lang)
    head = HUB_HEAD if origin.source.streaming else HEAD
    if not sum(1 for _ in islice(records, head)):
        raise DataError(
            f"{origin.key}: holds no record with content for language {origin.lang!r} in "
            f"{origin.path}"
        )


def _records(source: Configured, role: str, split: str, lang: str) -> Iterator[Any]:
    if role == "parallel":
        return source.pairs(lang, split)
    if role == "lexicon":
        return iter(source.lexicon(lang))
    if role == "instructions":
        return source.instructions(split)
    if role == "preferences":
        return source.preferences(split)
    return source.texts(role, lang, split)


def _refuse_schema(task: str, schema: str) -> None:
    raise DataError(
        f"data.evaluation.{task}.schema: {schema!r} is no schema; known: "
        f"{', '.join(schema_names())}"
    )


def _check_task(source: Configured, task: str, lang: str, part: str) -> None:
    origin = source.task_origin(task, lang, part)
    _check_files(origin)
    rows = source.task_rows(task, lang, part)
    try:
        read_items(
            source.task_schema(task), rows, lang=lang, source_lang=source.config.source_language
        )
    except DataError as error:
        raise DataError(f"{origin.key} ({origin.path}): {error}") from error
