"""What vocabularies' allocation and overlap have to do with scores, over the runs of a grid."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from franken.report.metrics import Metric, metric_of
from franken.report.records import Record
from franken.report.results import Results
from franken.report.tables import Group, Table, View, heading

MEASURES = ("average_rank", "characters_per_token", "divergence_from_source")
"""Of the kind of task ``vocabulary_allocation``."""
FEWEST_RUNS = 3
"""Vocabularies below which there is nothing to correlate."""
_Place = tuple[str, str, int]


class Correlation(NamedTuple):
    """Pearson's r of values whose language means are taken off."""

    value: float
    low: float
    high: float
    points: int


def allocation_table(results: Results) -> Table | None:
    """Correlations per model and score; ``None`` where no grid of vocabularies was measured.

    Languages differ in how hard they are, so of both sides the mean over the runs of a language is
    taken off: what is left is what another vocabulary does to a language.
    """
    table = Table(
        "allocation", "Vocabularies against scores (Pearson's r within languages)",
        ("model", "score"), [Group("", tuple(metric_of(name).label for name in MEASURES))],
    )  # fmt: skip
    measured = {record.task for record in results.records if record.metric in MEASURES}
    for model in dict.fromkeys(record.model for record in results.records):
        records = [record for record in results.records if record.model == model]
        own = [_points(records, measured, name) for name in MEASURES]
        for task in results.tasks:
            metric = metric_of(results.primary(task))
            if task in measured or not metric.better:
                continue
            scores = _points(records, {task}, metric.name)
            found = [correlation(measure, scores) for measure in own]
            if any(found):
                table.labels.append((model, heading(task, metric)))
                table.views.append([_view(one, metric) for one in found])
    table.legend = [
        "Vocabularies against scores: r of a measure and a score over vocabularies and languages, "
        "each language's mean taken off; [95 % interval by Fisher's z], which takes the languages "
        "of one vocabulary for independent. Scores count so that a positive r is to the better."
    ]
    return table if table.labels else None


def correlation(left: Mapping[_Place, float], right: Mapping[_Place, float]) -> Correlation | None:
    """Correlate what both have, language by language.

    Args:
        left: (variant, language, seed) -> value.
        right: likewise.

    Returns:
        ``None`` where no language has three runs, or one side is the same in all of them.
    """
    by_language: dict[str, list[_Place]] = defaultdict(list)
    for place in sorted(left.keys() & right.keys()):
        by_language[place[1]].append(place)
    kept = [own for own in by_language.values() if len(own) >= FEWEST_RUNS]
    if not kept:
        return None
    one, other = (
        np.concatenate([_centred([side[place] for place in own]) for own in kept])
        for side in (left, right)
    )
    scale = math.sqrt(float(one @ one) * float(other @ other))
    if scale < 1e-12:
        return None
    value = float(one @ other) / scale
    free = len(one) - len(kept) - 2  # Fisher's n - 3, a mean per language in place of one
    reach = 1.96 / math.sqrt(free) if free > 0 else math.inf
    middle = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, value)))
    return Correlation(value, math.tanh(middle - reach), math.tanh(middle + reach), len(one))


def _points(records: Iterable[Record], tasks: set[str], metric: str) -> dict[_Place, float]:
    return {
        (r.variant, r.lang, r.seed): r.value
        for r in records if r.metric == metric and r.task in tasks
    }  # fmt: skip


def _centred(values: Sequence[float]) -> np.ndarray:
    found = np.asarray(values, float)
    centred: np.ndarray = found - found.mean()
    return centred


def _view(found: Correlation | None, metric: Metric) -> View:
    if found is None:
        return View()
    value, low, high = (metric.better * part for part in found[:3])
    low, high = min(low, high), max(low, high)
    return View(f"{value:+.2f} [{low:+.2f}, {high:+.2f}]".replace("-", "\u2212"), value)
