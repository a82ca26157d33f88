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


@dataclass(frozen=True)
class SizePoint:
    """One pack: what it takes and what it keeps."""

    policy: str
    bytes: int
    ratio: float
    """Bytes over those of the dense bfloat16 change."""
    score: float
    recovery: float | None
    """(score - base) / (tuned - base); ``None`` where tuning gained less than two standard
    errors, as a share of nothing says nothing."""


def size_points(
    records: Iterable[Record], *, task: str, metric: str, lang: str, model: str = "grafted",
    base: str = "base", tuned: str = "tuned",
) -> list[SizePoint]:  # fmt: skip
    """Score and size of every variant, smallest first; means over seeds.

    Raises:
        DataError: where base, tuned model or packs have no such score.
    """
    wanted = [r for r in records if (r.task, r.metric, r.lang) == (task, metric, lang)]
    ends = {}
    for name in (base, tuned):
        found = [r for r in wanted if r.model == name]
        if not found:
            raise DataError(f"no score of {name!r} in {task} {metric} {lang}; was it evaluated?")
        ends[name] = found
    low, high = (mean(r.value for r in ends[name]) for name in (base, tuned))
    spread = sum((r.stderr or 0) ** 2 for name in ends for r in ends[name][:1]) ** 0.5
    grouped: dict[str, list[Record]] = defaultdict(list)
    for record in wanted:
        if record.model == model and "pack_bytes" in record.extra:
            grouped[record.variant].append(record)
    if not grouped:
        raise DataError(f"no score of {model!r} with a pack in {task} {metric} {lang}")
    points = []
    for variant, found in grouped.items():
        score = mean(r.value for r in found)
        gained = abs(high - low) > 2 * spread
        points.append(
            SizePoint(
                variant, round(mean(int(r.extra["pack_bytes"]) for r in found)),
                mean(float(r.extra["pack_ratio"]) for r in found), score,
                (score - low) / (high - low) if gained else None,
            )
        )  # fmt: skip
    return sorted(points, key=lambda point: (point.bytes, point.policy))


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


def write_size_figure(points: list[SizePoint], target: Path, *, title: str) -> None:
    """``<target>.json`` and ``<target>.png``: score over bytes, one point per pack."""
    target.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps([asdict(point) for point in points], indent=2, ensure_ascii=False)
    target.with_suffix(".json").write_text(content + "\n", encoding="utf-8")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    families = defaultdict(list)
    for point in points:
        families[re.split(r"[@+,]", point.policy)[0]].append(point)
    for family, own in sorted(families.items()):
        line = axes.plot([p.ratio * 100 for p in own], [p.score for p in own], "o-", label=family)
        for point in own:
            if point.recovery is not None:
                axes.annotate(
                    f"{100 * point.recovery:.0f} %", (point.ratio * 100, point.score),
                    textcoords="offset points", xytext=(4, 4), fontsize=7,
                    color=line[0].get_color(),
                )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel("bytes of the pack, % of the dense bfloat16 change")
    axes.set_ylabel("score")
    axes.set_title(f"{title} (labels: share of the gain that is kept)")
    axes.legend(fontsize=7)
    figure.savefig(target.with_suffix(".png"), dpi=120)
