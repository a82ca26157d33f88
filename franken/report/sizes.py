"""SkillPacks in results: what each takes, and how much of the tuned model's gain it keeps."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from franken.errors import DataError
from franken.report.metrics import is_accuracy, primary_metric
from franken.report.records import Record
from franken.report.results import compared, stderr_of


@dataclass(frozen=True)
class SizePoint:
    """One pack: what it takes and what it keeps."""

    policy: str
    """Variant of the job: a policy, with its budget after ``@`` where it was given one."""
    bytes: int
    ratio: float
    """Bytes over those of the dense bfloat16 change."""
    score: float
    recovery: float | None
    """(score - base) / (tuned - base); ``None`` where tuning gained less than two standard
    errors, as a share of nothing says nothing."""
    stderr: float | None = None
    """Of ``recovery``, over the items, which several seeds share; base and tuned model are taken as
    they are."""

    @property
    def family(self) -> str:
        """The policy without its budget."""
        return re.split(r"[@+,]", self.policy)[0]


def size_points(
    records: Iterable[Record], *, task: str, metric: str, lang: str, model: str = "grafted",
    base: str = "base", tuned: str = "tuned",
) -> list[SizePoint]:  # fmt: skip
    """Score and size of every variant, smallest first; means over seeds.

    Raises:
        DataError: where base, tuned model or packs have no such score.
    """
    records = list(records)
    wanted = [r for r in records if (r.task, r.metric, r.lang) == (task, metric, lang)]
    ends = {}
    for name in (base, tuned):
        found = [r for r in wanted if r.model == name]
        if not found:
            there = sorted({f"{r.task}:{r.metric} {r.lang}" for r in records if r.model == name})
            raise DataError(
                f"no score of {name!r} in {task}:{metric} {lang}; "
                f"expected one of: {', '.join(there) or 'it was not evaluated'}"
            )
        ends[name] = found
    low, gain, spread = _gain(ends[base], ends[tuned])
    gained = abs(gain) > 2 * spread
    grouped: dict[str, list[Record]] = defaultdict(list)
    for record in wanted:
        if record.model == model and "pack_bytes" in record.extra:
            grouped[record.variant].append(record)
    if not grouped:
        raise DataError(f"no score of {model!r} with a pack in {task} {metric} {lang}")
    points = []
    for variant, found in grouped.items():
        score = mean(r.value for r in found)
        error = stderr_of(found)
        points.append(
            SizePoint(
                variant, round(mean(int(r.extra["pack_bytes"]) for r in found)),
                mean(float(r.extra["pack_ratio"]) for r in found), score,
                (score - low) / gain if gained else None,
                error / abs(gain) if gained and error is not None else None,
            )
        )  # fmt: skip
    return sorted(points, key=lambda point: (point.bytes, point.policy))


def families(points: Iterable[SizePoint]) -> dict[str, list[SizePoint]]:
    """Points by policy, by rising size; the policy that keeps most in least space comes first."""
    found: dict[str, list[SizePoint]] = defaultdict(list)
    for point in points:
        found[point.family].append(point)
    for own in found.values():
        own.sort(key=lambda point: point.ratio)

    def rank(family: str) -> tuple[float, str]:
        enough = [p.ratio for p in found[family] if (p.recovery or 0.0) >= 0.95]
        return min(enough, default=1e9), family

    return {family: found[family] for family in sorted(found, key=rank)}


def learnt_task(records: Sequence[Record]) -> tuple[str, str, str] | None:
    """(task, primary metric, language) in which the tuned model gained most, in standard errors.

    ``None`` where no record is of a pack beside its base and tuned model.
    """
    packed = {(r.task, r.metric, r.lang) for r in records
              if r.model == "grafted" and "pack_bytes" in r.extra}  # fmt: skip
    best: tuple[float, tuple[str, str, str]] | None = None
    for key in sorted(packed):
        ends = [
            [r for r in records if r.model == name and (r.task, r.metric, r.lang) == key]
            for name in ("base", "tuned")
        ]
        metrics = list(dict.fromkeys(r.metric for r in records if r.task == key[0]))
        if not all(ends) or not is_accuracy(key[1]) or key[1] != primary_metric(metrics):
            continue
        _, gain, spread = _gain(*ends)
        sureness = gain / max(spread, 1e-3)
        if sureness > 2 and (best is None or sureness > best[0]):
            best = sureness, key
    return None if best is None else best[1]


def _gain(base: Sequence[Record], tuned: Sequence[Record]) -> tuple[float, float, float]:
    """Score of the base, what tuning adds to it, and the standard error of that over items."""
    low, high = (mean(record.value for record in records) for records in (base, tuned))
    found = compared(_by_seed(base), _by_seed(tuned))
    return low, high - low, (found.stderr or 0.0) if found else 0.0


def _by_seed(records: Sequence[Record]) -> dict[int, list[Record]]:
    """One record a seed: every job of a grid lists the models that all share."""
    return {record.seed: [record] for record in records}
