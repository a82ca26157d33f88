"""Differences between runs, item by item, with their errors and tests."""

from collections.abc import Sequence
from dataclasses import replace

from franken.report.metrics import Metric, metric_of
from franken.report.results import Cell, Results, Row, compared
from franken.report.runs import Run
from franken.report.tables import (
    CLEAR_LEGEND,
    SEEDS,
    Group,
    Table,
    View,
    difference,
    heading,
)
from franken.statistics import Comparison


def comparison_tables(groups: Sequence[Sequence[Run]]) -> list[Table]:
    """Every further path against the first, system by system.

    Systems are matched by model and variant; where both sides have a single variant of a model,
    these are matched whatever their names. What only one side has is left out.
    """
    sides = [Results(record for run in group for record in run.records) for group in groups]
    labels = [group[0].label for group in groups]
    tables = []
    for label, side in zip(labels[1:], sides[1:], strict=True):
        table = _compare(sides[0], side, labels[0], label)
        if table.labels:
            tables += [table, paired_table(sides[0], side, labels[0], label)]
    return tables


def shared_tasks(first: Results, second: Results) -> list[str]:
    """Tasks that both have, with the same metric standing for them."""
    tasks = [task for task in first.tasks if task in second.tasks]
    return [task for task in tasks if first.primary(task) == second.primary(task)]


def _places(results: Results, task: str) -> list[tuple[str, str | None]]:
    """Names and languages to compare: the target mean, the source languages."""
    metric = results.primary(task)
    sources: list[tuple[str, str | None]] = [(lang, lang) for lang in results.sources(task, metric)]
    return [("targets", None), *sources]


def _compare(first: Results, second: Results, name: str, other: str) -> Table:
    table = Table(
        f"comparison-{other}", f"Difference: {other} minus {name}", ("model", "variant"), []
    )
    pairs: list[tuple[Row, Row]] = []
    same: list[tuple[Row, Row]] = []
    for pair in matched_rows(first.rows, second.rows):
        (same if _all_equal(first, second, pair) else pairs).append(pair)
    table.labels = [(row.model, _pair_variant(row, match, (name, other))) for row, match in pairs]
    if same:
        table.notes.append(f"Equal item by item: {', '.join(row.model for row, _ in same)}.")
    columns: list[list[View]] = []
    for task in shared_tasks(first, second):
        metric = metric_of(first.primary(task))
        names = []
        for place, lang in _places(first, task):
            found = [_difference(first, second, pair, task, lang) for pair in pairs]
            if any(gap is not None for gap in found):
                names.append(place)
                views = [View() if f is None else difference(f, metric, error=True) for f in found]
                columns.append(views)
        if names:
            table.groups.append(Group(heading(task, metric), tuple(names)))
    if columns:
        table.views = [list(views) for views in zip(*columns, strict=True)]
    else:
        table.labels = []
    table.legend = ["±: standard error of the difference over items.", CLEAR_LEGEND]
    return table


def _all_equal(first: Results, second: Results, pair: tuple[Row, Row]) -> bool:
    """Whether two systems are one, as far as their items tell: a step that both runs share."""
    gaps = [
        _difference(first, second, pair, task, lang)
        for task in shared_tasks(first, second)
        for _, lang in _places(first, task)
    ]
    return all(gap is None or _equal(gap) for gap in gaps) and any(gaps)


def _equal(found: Comparison) -> bool:
    """Whether no item differs."""
    return found.value == 0 and found.stderr == 0


def paired_table(first: Results, second: Results, name: str, other: str) -> Table:
    """Every comparison in a line: both scores, the difference with its interval, the test."""
    table = Table(
        f"paired-{other}", f"Item by item: {other} against {name}",
        ("task", "model", "variant", "language"), [],
    )  # fmt: skip
    columns = (name, other, "difference", "95 % interval", "p", "better", "worse", "items", SEEDS,
               "p seeds", "test")  # fmt: skip
    left_out = 0
    for task in shared_tasks(first, second):
        metric = metric_of(first.primary(task))
        for row, match in matched_rows(first.rows, second.rows):
            listed = [(lang, lang) for lang in first.targets(task, metric.name)]
            for place, lang in [*_places(first, task), *listed]:
                found = _difference(first, second, (row, match), task, lang)
                if found is None or _equal(found):
                    left_out += found is not None
                    continue
                cells = [_cell(first, row, task, lang), _cell(second, match, task, lang)]
                variant = _pair_variant(row, match, (name, other))
                label = (heading(task, metric), row.model, variant, place)
                table.labels.append(label)
                table.views.append(_line(found, cells, metric))
    told = [at for at in range(len(columns)) if any(line[at] != View() for line in table.views)]
    table.groups = [Group("", tuple(columns[at] for at in told))]
    table.views = [[line[at] for at in told] for line in table.views]
    if not any(label[2] for label in table.labels):
        table.keys = ("task", "model", "language")
        table.labels = [(task, model, place) for task, model, _, place in table.labels]
    if left_out:
        table.notes.append(f"{left_out} comparisons in which no item differs are left out.")
    table.legend = [
        "better, worse: items that the second wins and loses. items: those that both "
        "have, an item in several languages or under several seeds counted once.",
        f"{SEEDS}: standard deviation of the difference over seeds; p seeds: paired t-test.",
        CLEAR_LEGEND,
    ]
    return table


def _line(found: Comparison, cells: Sequence[Cell | None], metric: Metric) -> list[View]:
    def number(value: float | None, text: str) -> View:
        return View() if value is None else View(text, value)

    won, lost = found.better, found.worse
    if metric.better < 0:
        won, lost = lost, won
    interval = found.interval
    bounds = "" if interval is None else f"[{', '.join(map(metric.signed, interval))}]"
    shown = [
        View() if cell is None else View(metric.shown(cell.value), cell.value * metric.factor)
        for cell in cells
    ]
    return [
        *shown,
        replace(difference(found, metric), best=found.clear),
        View(bounds) if bounds else View(),
        number(found.p, _probability(found.p or 0.0)),
        number(won, str(won)),
        number(lost, str(lost)),
        number(found.items or None, str(found.items)),
        number(found.seeds, metric.shown(found.seeds or 0.0)),
        number(found.seed_p, _probability(found.seed_p or 0.0)),
        View(found.test),
    ]


def _probability(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _pair_variant(row: Row, match: Row, names: tuple[str, str]) -> str:
    """What varies between the two, where the names of the runs do not say so already."""
    if row.variant == match.variant:
        return row.variant
    return "" if (row.variant, match.variant) == names else f"{row.variant} → {match.variant}"


def matched_rows(first: Sequence[Row], second: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Rows of both sides that stand for the same system, in the first side's order."""
    pairs = []
    for row in first:
        own = [other for other in first if other.model == row.model]
        theirs = [other for other in second if other.model == row.model]
        same = [other for other in theirs if other.variant == row.variant]
        alike = [other for other in same if other.experiment == row.experiment] or same
        if len(alike) >= 1:
            pairs.append((row, alike[0]))
        elif len(own) == len(theirs) == 1:
            pairs.append((row, theirs[0]))
    return pairs


def _difference(
    first: Results, second: Results, pair: tuple[Row, Row], task: str, lang: str | None
) -> Comparison | None:
    metric = first.primary(task)
    return compared(
        first.parts(pair[0], task, metric, lang), second.parts(pair[1], task, metric, lang)
    )


def _cell(results: Results, row: Row, task: str, lang: str | None) -> Cell | None:
    metric = results.primary(task)
    if lang is None:
        return results.mean(row, task, metric)
    return results.cell(row, task, metric, lang)
