"""Runs on disk: where results, provenance and training curves lie."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from franken.errors import DataError
from franken.report.records import FILE_NAME, Record, read_records


@dataclass(frozen=True)
class Point:
    """One point of a training curve."""

    step: float
    loss: float
    """Nats per token."""
    read: float | None = None
    """Bytes of text read so far, where the run counted them."""
    bits: float | None = None
    """Loss in bits per byte of text, likewise."""


@dataclass
class Run:
    """What a run directory (or a bare results file) holds."""

    path: Path
    label: str
    records: list[Record]
    info: dict[str, Any] = field(default_factory=dict)
    """Content of ``run.json``."""
    curves: dict[str, list[Point]] = field(default_factory=dict)
    """Step name -> training loss, nats per token."""


def load_runs(paths: Iterable[Path]) -> list[Run]:
    """Read every run below the paths.

    Args:
        paths: run directories, directories of runs (searched at any depth), or results files.

    Raises:
        DataError: for a path that is not there or holds no results.
    """
    return [run for group in load_groups(paths) for run in group]


def shared_steps(runs: Sequence[Run]) -> set[str]:
    """Steps that several variants have in common: under each seed, one key in all of them."""
    keys: dict[str, dict[Any, set[str]]] = {}
    variants: dict[str, set[str]] = {}
    for run in runs:
        for step in run.info.get("steps", []):
            keys.setdefault(step["name"], {}).setdefault(run.info.get("seed"), set()).add(
                step["key"]
            )
            variants.setdefault(step["name"], set()).add(str(run.info.get("variant")))
    return {
        name for name, by_seed in keys.items()
        if len(variants[name]) > 1 and all(len(own) == 1 for own in by_seed.values())
    }  # fmt: skip


def load_groups(paths: Iterable[Path]) -> list[list[Run]]:
    """As ``load_runs``, one list per path; each record learns the label of its path."""
    roots = [Path(path) for path in paths]
    labels = _labels(roots)
    groups = []
    for root, label in zip(roots, labels, strict=True):
        files = _result_files(root)
        groups.append([_load(file, label) for file in files])
    return groups


def _result_files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    if not root.exists():
        raise DataError(f"{root}: no such file or directory; give run directories, sweeps or files")
    found = sorted(root.rglob(FILE_NAME), key=lambda path: [_natural(p) for p in path.parts])
    inner = [path for path in found if path.parent != root]
    # a sweep's own file repeats those of its jobs
    files = inner if inner and not (root / "run.json").exists() else found
    if not files:
        raise DataError(
            f"{root}: holds no {FILE_NAME} at any depth; a finished run leaves one in its directory"
        )
    return files


def _natural(part: str) -> tuple[int, int, str]:
    """Sort ``2`` before ``10``."""
    return (0, int(part), "") if part.isdigit() else (1, 0, part)


def _labels(roots: list[Path]) -> list[str]:
    """Last parts of the paths, as many as it takes to tell them apart."""
    resolved = [root.resolve() for root in roots]
    for depth in range(1, max((len(path.parts) for path in resolved), default=1) + 1):
        labels = ["/".join(path.parts[-depth:]) for path in resolved]
        if len(set(labels)) == len(labels):
            return labels
    return [f"{path.name}#{number}" for number, path in enumerate(resolved, 1)]


def _load(file: Path, label: str) -> Run:
    records = [
        replace(record, extra={**record.extra, "run": label}) for record in read_records(file)
    ]
    directory = file.parent
    return Run(file, label, records, _info(directory / "run.json"), _curves(directory))


def _info(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error}); remove it or run again") from None
    return content if isinstance(content, dict) else {}


def _curves(directory: Path) -> dict[str, list[Point]]:
    """Curves as the loggers leave them: ``curves/<step>/metrics.csv``, ``curves.{csv,jsonl}``."""
    rows: list[tuple[str, dict[str, Any]]] = []
    for file in sorted(directory.glob("curves/**/*.csv")):
        rows += [(file.parent.name, row) for row in _csv_rows(file)]
    if (directory / "curves.csv").exists():
        rows += [(_series(row), row) for row in _csv_rows(directory / "curves.csv")]
    if (directory / "curves.jsonl").exists():
        lines = (directory / "curves.jsonl").read_text(encoding="utf-8").splitlines()
        parsed = [json.loads(line) for line in lines if line.strip()]
        rows += [(_series(row), row) for row in parsed]
    curves: dict[str, list[Point]] = {}
    for name, row in rows:
        step, loss = _number(row, "step"), _loss(row)
        if step is not None and loss is not None:
            text = _number(row, "train/bytes"), _number(row, "train/bits_per_byte")
            curves.setdefault(name, []).append(Point(step, loss, *text))
    return {name: sorted(points, key=lambda p: p.step) for name, points in curves.items()}


def _csv_rows(file: Path) -> list[dict[str, Any]]:
    with open(file, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _series(row: dict[str, Any]) -> str:
    for name in ("name", "phase", "step_name", "stage"):
        if row.get(name):
            return str(row[name])
    return "training"


def _loss(row: dict[str, Any]) -> float | None:
    """Training loss of a row; validation losses are left out."""
    for name in ("loss", "train/loss", "train_loss"):
        value = _number(row, name)
        if value is not None:
            return value
    return None


def _number(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name)
    try:
        return None if value in (None, "") else float(str(value))
    except ValueError:
        return None
