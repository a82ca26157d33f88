"""Figures of SkillPacks from ``results.jsonl``: score against size, and what was forgotten."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

from franken.errors import DataError
from franken.report.records import Record, read_records
from franken.report.size_plots import draw_points
from franken.report.sizes import SizePoint, learnt_task, size_points

__all__ = [
    "Forgetting", "SizePoint", "Task", "forgetting", "forgetting_of", "learnt_task", "read_all",
    "size_points",
    "write_size_figure",
]  # fmt: skip


@dataclass(frozen=True)
class Task:
    """One of the tasks that are learnt in a row."""

    name: str
    metric: str
    lang: str

    @property
    def counts(self) -> bool:
        """Whether means are taken over it: accuracies are, bits per byte are only shown."""
        return self.metric.startswith("acc")


@dataclass(frozen=True)
class Forgetting:
    """One way of learning tasks in a row."""

    method: str
    scores: list[list[float]]
    """Row: after stage i; column: task j."""
    average: float
    """Mean over the tasks after the last stage."""
    forgetting: float
    """Mean over earlier tasks of (best score so far - last score) (Chaudhry et al. 2018)."""
    backward_transfer: float
    """Mean over earlier tasks of (last score - score when learnt) (Lopez-Paz & Ranzato 2017)."""


def forgetting(
    method: str, scores: list[list[float]], counts: Sequence[bool] | None = None
) -> Forgetting:
    """Figures of a square matrix of scores, higher ones better.

    Args:
        method: what the matrix is of.
        scores: row: after stage i; column: task j.
        counts: tasks that means are taken over; default: all.
    """
    count = len(scores)
    if count < 2 or any(len(row) != count for row in scores):
        raise DataError(
            f"{method}: forgetting needs a score of every task after every stage, got {scores}"
        )
    used = [j for j in range(count) if counts is None or counts[j]]
    earlier = [j for j in used if j < count - 1]
    if not earlier:
        raise DataError(f"{method}: no task before the last is scored by an accuracy")
    last = scores[-1]
    lost = [max(row[j] for row in scores[j:-1]) - last[j] for j in earlier]
    moved = [last[j] - scores[j][j] for j in earlier]
    return Forgetting(method, scores, mean(last[j] for j in used), mean(lost), mean(moved))


def forgetting_of(
    records: Iterable[Record], tasks: Sequence[Task], *, first: str = "sequential_1"
) -> list[Forgetting]:
    """Figures of every family of models ``<method>_<stage>``.

    A method whose first stage is another's (tuning on and a pull share theirs) takes ``first``.

    Args:
        records: scores.
        tasks: in the order in which they are learnt.
        first: model after the first stage where a method has none of its own.
    """
    table: dict[tuple[str, Task], list[float]] = defaultdict(list)
    for record in records:
        table[record.model, Task(record.task, record.metric, record.lang)].append(record.value)
    models = {model for model, _ in table}
    families = {m.group(1) for model in models if (m := re.fullmatch(r"(.+)_(\d+)", model))}
    found = []
    for family in sorted(families):
        rows = []
        for stage in range(1, len(tasks) + 1):
            own = f"{family}_{stage}"
            model = first if stage == 1 and own not in models else own
            values = [table.get((model, task)) for task in tasks]
            if all(values):
                rows.append([mean(v) for v in values if v])
        if len(rows) == len(tasks):
            found.append(forgetting(family, rows, [task.counts for task in tasks]))
    return found


def read_all(paths: Sequence[Path]) -> list[Record]:
    """Records of files and of directories, searched deeply; the same result counts once."""
    files: list[Path] = []
    for path in paths:
        files += sorted(path.rglob("results.jsonl")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"no results.jsonl under {', '.join(map(str, paths))}")
    unique: dict[tuple[str, ...], Record] = {}
    for file in files:
        for record in read_records(file):
            place = (record.model, record.variant, record.task, record.lang, record.metric)
            unique[record.key, *place] = record
    return list(unique.values())


def write_size_figure(points: Sequence[SizePoint], target: Path, *, title: str) -> None:
    """``<target>.json`` and ``<target>.png``: gain kept over bytes, one curve per policy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps([asdict(point) for point in points], indent=2, ensure_ascii=False)
    target.with_suffix(".json").write_text(content + "\n", encoding="utf-8")
    draw_points(points, target.with_suffix(".png"), title=title)
