"""What each factor of a grid does, the others held: least squares over its runs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from franken.files import leaves
from franken.report.metrics import Metric, is_of_new_tokens, metric_of
from franken.report.records import Record
from franken.report.results import Results
from franken.report.runs import Run
from franken.report.tables import Group, Table, View, heading

Factors = dict[str, list[str]]
"""Option or key -> its level in each run."""
_NO_FACTORS = ("seed", "variant", "experiment", "store", "logger", "trainer", "sweep")


def factors_of(configs: Sequence[Mapping[str, Any]]) -> Factors:
    """The options and values by which the configs of a grid differ.

    A group of which runs choose different options is one factor, whatever else of it differs. Keys
    that go together in all runs (``a.x`` and ``a.y`` set by one option) are one factor, named by
    the first; by one of ``recipe``, which repeats what groups say, only where no group differs.
    """
    flat = [{k: value for k, value in leaves(c) if value != {}} for c in configs]
    found: Factors = {}
    taken: set[str] = set()
    keys = dict.fromkeys(key for own in flat for key in own)
    for key in sorted(keys, key=lambda key: key.startswith("recipe.")):
        group = key.partition(".")[0]
        if group in _NO_FACTORS or group in taken:
            continue
        levels = [str(own.get(key, "-")) for own in flat]
        options = [str(own.get(f"{group}.name", "-")) for own in flat]
        if len(set(options)) > 1:
            taken.add(group)
            key, levels = group, options
        if len(set(levels)) > 1 and not any(_same(levels, known) for known in found.values()):
            found[key] = levels
    return found


def effect_tables(results: Results, runs: Sequence[Run]) -> list[Table]:
    """A table for each task: per model, the change that each level makes to the target mean.

    Only for grids in which two factors or more vary. Models that are the same in every run (the
    base) have no effects. Levels are compared with the first of their factor.

    Args:
        results: says which metric is each task's first.
        runs: of one grid; runs without a config do not count.
    """
    known = [run for run in runs if run.info.get("config")]
    factors = factors_of([run.info["config"] for run in known])
    if len(factors) < 2:
        return []
    tables = []
    for task in results.tasks:
        metric = metric_of(results.primary(task))
        if is_of_new_tokens(metric.name):
            continue
        table = _table(task, metric, known, factors)
        tables += [table] if table.groups else []
    return tables


def least_squares(
    factors: Factors, values: np.ndarray
) -> tuple[dict[tuple[str, str], tuple[float, float | None]], float] | None:
    """Effects of levels against the first level of each factor, without interactions.

    Args:
        factors: levels of each run.
        values: ``(runs,)`` scores.

    Returns:
        (factor, level) -> effect and its standard error (``None`` where no run is to spare), and
        the share of the variance that they explain; ``None`` where factors cannot be told apart.
    """
    names = [
        (factor, level)
        for factor, levels in factors.items()
        for level in list(dict.fromkeys(levels))[1:]
    ]
    columns = [[level == own for own in factors[factor]] for factor, level in names]
    design = np.column_stack([np.ones(len(values)), *np.asarray(columns, float)])
    count, rank = design.shape[1], np.linalg.matrix_rank(design)
    if rank < count:
        return None
    found = np.linalg.lstsq(design, values, rcond=None)[0]
    left = values - design @ found
    spare, total = len(values) - count, float(np.square(values - values.mean()).sum())
    errors: list[float | None] = [None] * count
    if spare:
        covariance = np.linalg.inv(design.T @ design) * float(left @ left) / spare
        errors = list(np.sqrt(np.diag(covariance)))
    explained = 1.0 - float(left @ left) / total if total else 1.0
    effects = {
        name: (float(effect), error)
        for name, effect, error in zip(names, found[1:], errors[1:], strict=True)
    }
    return effects, explained


def _table(task: str, metric: Metric, runs: Sequence[Run], factors: Factors) -> Table:
    levels = [(f, level) for f, own in factors.items() for level in dict.fromkeys(own)]
    table = Table(
        f"effects-{task}", f"Effects on {heading(task, metric)}", ("factor", "level"), [],
        labels=[*levels], views=[[] for _ in levels],
    )  # fmt: skip
    models = dict.fromkeys(r.model for run in runs for r in run.records if r.task == task)
    for model in models:
        found = [_target_mean(run.records, task, metric.name, model) for run in runs]
        scored = {at: score for at, score in enumerate(found) if score is not None}
        if len({key for _, key in scored.values()}) < 2:
            continue
        seen = {name: [own[at] for at in scored] for name, own in factors.items()}
        fit = least_squares(
            {name: own for name, own in seen.items() if len(set(own)) > 1},
            np.asarray([value for value, _ in scored.values()]),
        )
        if fit is None:
            table.notes.append(f"{model}: its runs do not tell the factors apart.")
            continue
        effects, explained = fit
        table.groups.append(Group("", (model,)))
        for views, (factor, level) in zip(table.views, levels, strict=True):
            views.append(_view(effects.get((factor, level)), level == seen[factor][0], metric))
        table.notes.append(
            f"{model}: {len(scored)} runs, {100 * explained:.0f} % of their variance explained."
        )
    if table.groups:
        table.legend = [
            "Effects: change of the target mean against the first level of a factor, by least "
            "squares over runs without interactions; ± standard error from the scatter of the runs "
            "about the fit, seeds included."
        ]
    return table


def _target_mean(
    records: Sequence[Record], task: str, metric: str, model: str
) -> tuple[float, str] | None:
    """Mean over the target languages (over all, where none is one), and what computed it."""
    own = [r for r in records if (r.task, r.metric, r.model) == (task, metric, model)]
    targets = [r for r in own if r.extra.get("lang_role") == "target"] or own
    if not targets:
        return None
    return sum(r.value for r in targets) / len(targets), targets[0].key


def _view(found: tuple[float, float | None] | None, is_first: bool, metric: Metric) -> View:
    if is_first:
        return View("0", 0.0)
    if found is None:
        return View()
    effect, error = found
    tail = "" if error is None else f" ±{metric.shown(error)}"
    return View(metric.signed(effect) + tail, effect * metric.factor)


def _same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two keys go together: equal where, and only where, the other is."""
    pairs: dict[str, set[str]] = defaultdict(set)
    for left, right in zip(one, other, strict=True):
        pairs[left].add(right)
    return all(len(own) == 1 for own in pairs.values()) and len(set(one)) == len(set(other))
