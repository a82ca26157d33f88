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
from franken.report.sizes import SizePoint, size_points

__all__ = [
    "Forgetting", "SizePoint", "forgetting", "forgetting_of", "read_all", "size_points",
    "write_size_figure",
]  # fmt: skip


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


def forgetting(method: str, scores: list[list[float]]) -> Forgetting:
    """Figures of a square matrix of scores."""
    count = len(scores)
    if count < 2 or any(len(row) != count for row in scores):
        raise DataError(
            f"{method}: forgetting needs a score of every task after every stage, got {scores}"
        )
    last = scores[-1]
    lost = [max(row[j] for row in scores[j:-1]) - last[j] for j in range(count - 1)]
    moved = [last[j] - scores[j][j] for j in range(count - 1)]
    return Forgetting(method, scores, mean(last), mean(lost), mean(moved))


def forgetting_of(
    records: Iterable[Record], tasks: Sequence[tuple[str, str]], *, lang: str,
    first: str = "sequential_1",
) -> list[Forgetting]:  # fmt: skip
    """Figures of every family of models ``<method>_<stage>``.

    A method whose first stage is another's (tuning on and a pull share theirs) takes ``first``.

    Args:
        records: scores.
        tasks: (task, metric) in the order in which they are learnt.
        lang: language of the scores.
        first: model after the first stage where a method has none of its own.
    """
    table: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for record in records:
        if record.lang == lang:
            table[record.model, record.task, record.metric].append(record.value)
    families = {m.group(1) for model, *_ in table if (m := re.fullmatch(r"(.+)_(\d+)", model))}
    found = []
    for family in sorted(families):
        rows = []
        for stage in range(1, len(tasks) + 1):
            own = f"{family}_{stage}"
            model = first if stage == 1 and not any(m == own for m, *_ in table) else own
            values = [table.get((model, *task)) for task in tasks]
            if all(values):
                rows.append([mean(v) for v in values if v])
        if len(rows) == len(tasks):
            found.append(forgetting(family, rows))
    return found


def read_all(paths: Sequence[Path]) -> list[Record]:
    """Records of files and of directories, searched deeply; the same result counts once."""
    files: list[Path] = []
    for path in paths:
        files += sorted(path.rglob("results.jsonl")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"no results.jsonl under {', '.join(map(str, paths))}")
    unique = {}
    for file in files:
        for record in read_records(file):
            unique[record.key, record.task, record.lang, record.metric, record.variant] = record
    return list(unique.values())


def write_size_figure(points: Sequence[SizePoint], target: Path, *, title: str) -> None:
    """``<target>.json`` and ``<target>.png``: gain kept over bytes, one curve per policy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps([asdict(point) for point in points], indent=2, ensure_ascii=False)
    target.with_suffix(".json").write_text(content + "\n", encoding="utf-8")
    draw_points(points, target.with_suffix(".png"), title=title)
