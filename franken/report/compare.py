"""Differences between runs, with their combined standard error."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from franken.report.metrics import metric_of
from franken.report.results import Cell, Results, Row
from franken.report.runs import Run
from franken.report.tables import Group, Table, View, heading

CLEAR = 2.0
"""Differences beyond so many standard errors are marked."""
CLEAR_MARK = "*"


@dataclass(frozen=True)
class Difference:
    """``second - first`` of one system, task and metric, on target mean or source language."""

    first: Cell
    second: Cell

    @property
    def value(self) -> float:
        """The difference in stored units."""
        return self.second.value - self.first.value

    @property
    def stderr(self) -> float | None:
        """Root of the summed squared errors; errors of means where seeds were averaged."""
        errors = [_mean_error(self.first), _mean_error(self.second)]
        known = [error for error in errors if error is not None]
        return math.hypot(*known) if len(known) == 2 else None

    @property
    def clear(self) -> bool:
        """Whether the difference exceeds two standard errors."""
        return self.stderr is not None and abs(self.value) > CLEAR * self.stderr


def _mean_error(cell: Cell) -> float | None:
    """Standard error of a cell's value: over seeds if there are several, else over items."""
    if cell.seeds > 1 and cell.spread is not None:
        return max(cell.spread / math.sqrt(cell.seeds), cell.stderr or 0.0)
    return cell.stderr


def comparison_tables(groups: Sequence[Sequence[Run]]) -> list[Table]:
    """Every further path against the first, system by system.

    Systems are matched by model and variant; where both sides have a single variant of a model,
    these are matched whatever their names. What only one side has is left out.
    """
    sides = [Results(record for run in group for record in run.records) for group in groups]
    labels = [group[0].label for group in groups]
    return [
        table
        for label, side in zip(labels[1:], sides[1:], strict=True)
        if (table := _compare(sides[0], side, labels[0], label)).labels
    ]


def _compare(first: Results, second: Results, name: str, other: str) -> Table:
    tasks = [task for task in first.tasks if task in second.tasks]
    tasks = [task for task in tasks if first.primary(task) == second.primary(task)]
    table = Table(
        f"comparison-{other}", f"Difference: {other} minus {name}", ("model", "variant"), []
    )
    pairs = matched_rows(first.rows, second.rows)
    table.labels = [(row.model, _pair_variant(row, match)) for row, match in pairs]
    columns: list[list[View]] = []
    for task in tasks:
        metric = metric_of(first.primary(task))
        names = []
        places = ["targets", *first.sources(task, metric.name)]
        for place in places:
            views = []
            for row, match in pairs:
                cells = _cell(first, row, task, place), _cell(second, match, task, place)
                if cells[0] is None or cells[1] is None:
                    views.append(View())
                    continue
                found = Difference(cells[0], cells[1])
                error = "" if found.stderr is None else f" ±{metric.shown(found.stderr)}"
                mark = CLEAR_MARK if found.clear else ""
                text = metric.signed(found.value) + mark + error
                views.append(View(text, found.value * metric.factor, found.clear))
            if any(view.value is not None for view in views):
                names.append(place)
                columns.append(views)
        if names:
            table.groups.append(Group(heading(task, metric), tuple(names)))
    if columns:
        table.views = [list(views) for views in zip(*columns, strict=True)]
    else:
        table.labels = []
    table.legend = [
        "±: combined standard error (over seeds where there are several, else over items).",
        f"Bold and {CLEAR_MARK}: beyond two standard errors.",
    ]
    return table


def _pair_variant(row: Row, match: Row) -> str:
    return row.variant if row.variant == match.variant else f"{row.variant} → {match.variant}"


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


def _cell(results: Results, row: Row, task: str, place: str) -> Cell | None:
    metric = results.primary(task)
    if place == "targets":
        return results.mean(row, task, metric)
    return results.cell(row, task, metric, place)
