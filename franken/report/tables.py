"""Tables as plain data: built once, rendered to console, Markdown and HTML."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from franken.report.metrics import Metric, is_bound, metric_of, shows_gain
from franken.report.results import Cell, Results, Row

CHANCE_MARK = "°"
PARTIAL_MARK = "†"
MISSING = "–"


@dataclass(frozen=True)
class View:
    """One cell as shown; ``value`` is what it sorts by."""

    text: str = MISSING
    value: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Group:
    """Neighbouring columns under one heading."""

    title: str
    columns: tuple[str, ...]


@dataclass
class Table:
    """A titled table: key columns, then groups of value columns."""

    slug: str
    title: str
    keys: tuple[str, ...]
    groups: list[Group]
    labels: list[tuple[str, ...]] = field(default_factory=list)
    """Per row one text per key column."""
    views: list[list[View]] = field(default_factory=list)
    """Per row one view per value column, groups in order."""
    notes: list[str] = field(default_factory=list)
    """What holds for this table alone, one sentence each."""
    legend: list[str] = field(default_factory=list)
    """What its marks mean, one sentence each; the same in all tables of a report."""


def overview(results: Results, *, baseline: str = "instruct") -> Table:
    """One row per system, one group of columns per task: target mean, gain, source language."""
    table = _started(results, results.rows, "overview", "Overview")
    columns: list[list[View]] = []
    for task in results.tasks:
        metric = metric_of(results.primary(task))
        names, own = _summary_columns(results, task, metric, results.rows, baseline, brief=True)
        if names:
            table.groups.append(Group(heading(task, metric), tuple(names)))
            columns += own
    table.views = [list(views) for views in zip(*columns, strict=True)]
    table.legend = _legend(results, table, baseline)
    return table


def task_table(
    results: Results, task: str, metric_name: str, *, baseline: str = "instruct"
) -> Table:
    """All languages of one task and metric."""
    metric = metric_of(metric_name)
    rows = [row for row in results.rows if _has_any(results, row, task, metric_name)]
    table = _started(results, rows, f"{task}-{metric_name}", heading(task, metric))
    names, columns = _summary_columns(results, task, metric, rows, baseline)
    if names:
        table.groups.append(Group("", tuple(names)))
    for lang in results.targets(task, metric_name):
        cells = [results.cell(row, task, metric_name, lang) for row in rows]
        table.groups.append(Group("", (lang,)))
        columns.append(_views(cells, metric, intervals=True))
    table.views = [list(views) for views in zip(*columns, strict=True)]
    table.notes = [_item_counts(results, rows, task, metric_name)]
    table.legend = _legend(results, table, baseline)
    return table


def heading(task: str, metric: Metric) -> str:
    """``task: metric``, once where both say the same."""
    return task if task.replace("_", " ") == metric.label else f"{task}: {metric.label}"


def all_tables(results: Results, *, baseline: str = "instruct") -> list[Table]:
    """The overview, then one table per task and metric."""
    tables = [overview(results, baseline=baseline)]
    for task in results.tasks:
        primary = results.primary(task)
        names = results.metrics(task)
        others = [name for name in names if name != primary and not is_bound(name)]
        for name in [primary, *others]:
            tables.append(task_table(results, task, name, baseline=baseline))
    return tables


def _started(results: Results, rows: Sequence[Row], slug: str, title: str) -> Table:
    """A table with its key columns: only those that tell rows apart."""
    keys = {
        "experiment": [row.experiment for row in rows],
        "recipe": [row.recipe for row in rows],
        "model": [row.model for row in rows],
        "variant": [row.variant for row in rows],
    }
    if len(set(keys["experiment"])) < 2:
        del keys["experiment"]
    if len(set(keys["recipe"])) < 2:
        del keys["recipe"]
    if not any(keys["variant"]):
        del keys["variant"]
    keys["seeds"] = [str(_seeds(results, row)) for row in rows]
    if set(keys["seeds"]) <= {"1"}:
        del keys["seeds"]
    labels = list(zip(*keys.values(), strict=True))
    return Table(slug, title, tuple(keys), [], labels)


def _seeds(results: Results, row: Row) -> int:
    return len({record.seed for record in results.records_of(row)})


def _has_any(results: Results, row: Row, task: str, metric: str) -> bool:
    languages = results.languages(task, metric)
    return any(results.cell(row, task, metric, lang) is not None for lang in languages)


def _summary_columns(
    results: Results,
    task: str,
    metric: Metric,
    rows: Sequence[Row],
    baseline: str,
    *,
    brief: bool = False,
) -> tuple[list[str], list[list[View]]]:
    """Target mean, gain over the baseline, and the source language, as far as there are any.

    ``brief`` leaves out the spread of the source language.
    """
    names: list[str] = []
    columns: list[list[View]] = []
    targets = results.targets(task, metric.name)
    if targets:
        cells = [results.mean(row, task, metric.name) for row in rows]
        names.append("targets")
        columns.append(_views(cells, metric, languages=len(targets), intervals=not brief))
        gains = [results.gain(row, task, metric.name, baseline) for row in rows]
        if shows_gain(metric.name) and any(gain is not None for gain in gains):
            names.append("gain")
            columns.append(
                [View() if g is None else View(metric.signed(g), g * metric.factor) for g in gains]
            )
    for lang in results.sources(task, metric.name):
        names.append(lang)
        cells = [results.cell(row, task, metric.name, lang) for row in rows]
        columns.append(_views(cells, metric, spread=not brief, intervals=not brief))
    return names, columns


def _views(
    cells: Sequence[Cell | None],
    metric: Metric,
    *,
    languages: int = 1,
    spread: bool = True,
    intervals: bool = False,
) -> list[View]:
    """Cells as texts; the best shown value is bold, ties included.

    ``intervals``: a cell that has one shows it in place of its spread.
    """
    shown = [None if cell is None else metric.shown(cell.value) for cell in cells]
    complete = [
        float(text)
        for text, cell in zip(shown, cells, strict=True)
        if text is not None and cell is not None and cell.languages == languages
    ]
    best: float | None = None
    if len(set(complete)) > 1 and metric.better:
        best = max(complete) if metric.better > 0 else min(complete)
    spreads = [None if c is None or c.spread is None else metric.shown(c.spread) for c in cells]
    if not spread or not any(float(error or 0) for error in spreads):
        spreads = [None] * len(cells)
    views = []
    for cell, text, error in zip(cells, shown, spreads, strict=True):
        if cell is None or text is None:
            views.append(View())
            continue
        marks = CHANCE_MARK if cell.at_chance else ""
        tail = "" if error is None else f" ±{error}"
        if intervals and cell.interval is not None:
            tail = f" [{', '.join(map(metric.shown, cell.interval))}]"
        partial = cell.languages < languages
        marks += PARTIAL_MARK if partial else ""
        is_best = best is not None and float(text) == best and not partial
        views.append(View(text + marks + tail, cell.value * metric.factor, is_best))
    return views


def _item_counts(results: Results, rows: Sequence[Row], task: str, metric: str) -> str:
    counts = {
        cell.n
        for row in rows
        for lang in results.languages(task, metric)
        if (cell := results.cell(row, task, metric, lang)) is not None
    }
    low, high = min(counts), max(counts)
    return f"n = {low} per language." if low == high else f"n = {low} to {high} per language."


def _legend(results: Results, table: Table, baseline: str) -> list[str]:
    """Sentences for the marks that the table in fact shows."""
    texts = [view.text for views in table.views for view in views]
    columns = {name for group in table.groups for name in group.columns}
    notes = []
    if "targets" in columns:
        notes.append("targets: mean over the target languages.")
    if any("±" in text for text in texts):
        counts = {_seeds(results, row) for row in results.rows}
        seeds, items = "standard deviation over seeds", "standard error over items"
        if counts == {1}:
            notes.append(f"±: {items} (one seed).")
        elif 1 in counts:
            notes.append(f"±: {seeds}; {items} in rows with one seed.")
        else:
            notes.append(f"±: {seeds}.")
    if any("[" in text for text in texts):
        notes.append("[low, high]: 95 % bootstrap interval over items.")
    if "gain" in columns:
        notes.append(f"gain: difference to {baseline} on the target languages.")
    if any(view.best for views in table.views for view in views):
        notes.append("Bold: best of the column.")
    if any(CHANCE_MARK in text for text in texts):
        notes.append(f"{CHANCE_MARK} not above chance by two standard errors.")
    if any(PARTIAL_MARK in text for text in texts):
        notes.append(f"{PARTIAL_MARK} mean over fewer languages than the others.")
    return notes
