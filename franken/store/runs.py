"""Which artefacts finished runs refer to."""

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from franken.errors import ArtifactError
from franken.store.key import KEY_PATTERN

logger = logging.getLogger(__name__)


def keys_of_runs(directories: Iterable[Path]) -> set[str]:
    """Keys that runs anywhere below the directories name.

    In ``run.json`` as ``{"keys": [...]}`` or ``{"keys": {step: key}}``, in the records of
    ``results.jsonl`` as ``key``.

    Raises:
        ArtifactError: where a directory holds neither file, or one of them cannot be read; pruning
            on a wrong path would delete what should stay.
    """
    keys: set[str] = set()
    for directory in directories:
        files = sorted([*directory.rglob("run.json"), *directory.rglob("results.jsonl")])
        if not files:
            raise ArtifactError(
                f"{directory} holds no run.json and no results.jsonl: expected a directory of "
                "runs, such as outputs/runs."
            )
        for file in files:
            keys.update(_keys_of(file))
    return keys


def _keys_of(file: Path) -> Iterator[str]:
    found: list[Any] = []
    for number, text in _documents(file):
        try:
            record = json.loads(text)
            named = record.get("keys") if file.name == "run.json" else [record.get("key")]
        except (ValueError, AttributeError) as error:
            raise ArtifactError(
                f"{file}:{number}: expected a JSON mapping, found {text[:60]!r} ({error}). Repair "
                "or remove the file before pruning by it."
            ) from None
        found += named.values() if isinstance(named, dict) else named or []
    for key in found:
        if isinstance(key, str) and KEY_PATTERN.fullmatch(key):
            yield key
        elif key is not None:
            logger.warning("%s names %r, which is not a key of a store", file, key)


def _documents(file: Path) -> list[tuple[int, str]]:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{file} is not UTF-8 ({error}). Repair or remove it.") from None
    if file.name == "run.json":
        return [(1, text)]
    return [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
