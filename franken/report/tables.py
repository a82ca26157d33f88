"""Tables as plain data: built once, rendered to console, Markdown and HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from franken.report.metrics import Metric, is_bound, is_of_new_tokens, metric_of, shows_gain
from franken.report.records import Record
from franken.report.results import Cell, Results, Row, compared
from franken.statistics import Comparison

CHANCE_MARK = "°"
PARTIAL_MARK = "†"
MISSING = "–"
CLEAR_MARK = "*"
CLEAR_LEGEND = (
    f"{CLEAR_MARK} p < 0.05 over items, compared one by one (McNemar's exact test, else a paired "
    "bootstrap; errors of both sides where the items are not known), and over seeds where there "
    "are several; not corrected for the number of comparisons."
)
SEEDS = "sd seeds"


@dataclass(frozen=True)
class View:
    """One cell as shown; ``value`` is what it sorts by."""

    text: str = MISSING
    value: float | None = None
    best: bool = False
    """Shown in bold."""
    loss: bool = False
    """A clear difference to the worse."""


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
    """One row per system, one group of columns per task: target mean, gain, source language.

    Systems without any of these figures (a grid has bounds alone) have tables of their own.
    """
    shown = [t for t in results.tasks if not is_of_new_tokens(results.primary(t))]
    rows = [
        row for row in results.rows
        if any(_has_any(results, row, task, results.primary(task)) for task in shown)
    ] or results.rows  # fmt: skip
    table = _started(results, rows, "overview", "Overview")
    columns: list[list[View]] = []
    for task in shown:
        metric = metric_of(results.primary(task))
        names, own = _summary_columns(results, task, metric, rows, baseline, brief=True)
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
        table.groups.append(Group("", (lang,)))
        columns.append(_place(results, rows, task, metric, lang))
    table.views = [list(views) for views in zip(*columns, strict=True)]
    table.notes = [_item_counts(results, rows, task, metric_name)]
    table.legend = _legend(results, table, baseline)
    return table


def heading(task: str, metric: Metric) -> str:
    """``task: metric``, once where both say the same."""
    return task if task.replace("_", " ") == metric.label else f"{task}: {metric.label}"


def all_tables(results: Results, *, baseline: str = "instruct") -> list[Table]:
    """The overview, then one table per task and metric."""
    return list(_all_tables(results, baseline))


@lru_cache(maxsize=1)  # the console and the report show the same ones
def _all_tables(results: Results, baseline: str) -> tuple[Table, ...]:
    tables = [overview(results, baseline=baseline)]
    for task in results.tasks:
        primary = results.primary(task)
        if is_of_new_tokens(primary):
            continue
        names = results.metrics(task)
        others = [name for name in names if name != primary and not is_bound(name)]
        for name in [primary, *others]:
            tables.append(task_table(results, task, name, baseline=baseline))
    return tuple(tables)


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
    keys["seeds"] = [str(len({record.seed for record in results.records_of(row)})) for row in rows]
    if set(keys["seeds"]) <= {"1"}:
        del keys["seeds"]
    labels = list(zip(*keys.values(), strict=True))
    return Table(slug, title, tuple(keys), [], labels)


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

    ``brief`` leaves out the errors of the source language.
    """
    names: list[str] = []
    columns: list[list[View]] = []
    targets = results.targets(task, metric.name)
    if targets:
        names.append("targets")
        columns.append(
            _place(results, rows, task, metric, None, languages=len(targets), intervals=not brief)
        )
        cells = [results.mean(row, task, metric.name) for row in rows]
        if any(cell is not None and cell.spread is not None for cell in cells):
            names.append(SEEDS)
            columns.append([_spread(cell, metric) for cell in cells])
        gains = [results.gain(row, task, metric.name, baseline) for row in rows]
        if shows_gain(metric.name) and any(gain is not None for gain in gains):
            names.append("gain")
            columns.append([View() if g is None else difference(g, metric) for g in gains])
    for lang in results.sources(task, metric.name):
        names.append(lang)
        columns.append(_place(results, rows, task, metric, lang, errors=not brief))
    return names, columns


def difference(found: Comparison, metric: Metric, *, error: bool = False) -> View:
    """A difference with its star, and its error where wanted."""
    tail = f" ±{metric.shown(found.stderr)}" if error and found.stderr is not None else ""
    mark = CLEAR_MARK if found.clear else ""
    text = metric.signed(found.value) + mark + tail
    loss = found.clear and metric.better * found.value < 0
    return View(text, found.value * metric.factor, error and found.clear, loss)


def _spread(cell: Cell | None, metric: Metric) -> View:
    """The spread over seeds."""
    if cell is None or cell.spread is None:
        return View()
    return View(metric.shown(cell.spread), cell.spread * metric.factor)


def _place(
    results: Results, rows: Sequence[Row], task: str, metric: Metric, lang: str | None, *,
    languages: int = 1, errors: bool = True, intervals: bool = True,
) -> list[View]:  # fmt: skip
    """One column: cells of a language, or of the target mean; the best ones are bold.

    Best are the highest shown value (or lowest) and those that a paired test cannot tell from it.
    Accuracies near 0 and 1, and those with a bootstrap interval, show the interval.
    """
    parts = [results.parts(row, task, metric.name, lang) for row in rows]
    cells = [
        results.mean(row, task, metric.name) if lang is None
        else results.cell(row, task, metric.name, lang)
        for row in rows
    ]  # fmt: skip
    best = _best(cells, parts, metric, languages)
    views = []
    for at, cell in enumerate(cells):
        if cell is None:
            views.append(View())
            continue
        marks = CHANCE_MARK if cell.at_chance else ""
        marks += PARTIAL_MARK if cell.languages < languages else ""
        tail = _error(cell, metric, intervals) if errors else ""
        text = metric.shown(cell.value) + marks + tail
        views.append(View(text, cell.value * metric.factor, at in best))
    return views


def _error(cell: Cell, metric: Metric, intervals: bool) -> str:
    if cell.interval is not None and (intervals or cell.extreme):
        return f" [{', '.join(map(metric.shown, cell.interval))}]"
    # an error that rounds to nothing is not shown
    shown = None if cell.stderr is None else metric.shown(cell.stderr)
    return f" ±{shown}" if shown is not None and float(shown) else ""


def _best(
    cells: Sequence[Cell | None], parts: Sequence[Mapping[int, Sequence[Record]]], metric: Metric,
    languages: int,
) -> set[int]:  # fmt: skip
    """The best cell and all that are not clearly worse; none where all are shown alike."""
    known = {at: cell for at, cell in enumerate(cells) if cell is not None}
    whole = {at: cell for at, cell in known.items() if cell.languages == languages}
    shown = {at: float(metric.shown(cell.value)) for at, cell in whole.items()}
    if not metric.better or len(set(shown.values())) < 2:
        return set()
    top = max(whole, key=lambda at: metric.better * whole[at].value)
    found = {
        at for at in whole
        if shown[at] == shown[top] or _is_close(compared(parts[top], parts[at]))
    }  # fmt: skip
    return found if len(found) < len(whole) else set()


def _is_close(gap: Comparison | None) -> bool:
    """Whether a paired test cannot tell two systems apart."""
    return gap is not None and gap.test != "unpaired" and not gap.clear


def _item_counts(results: Results, rows: Sequence[Row], task: str, metric: str) -> str:
    cells = [
        cell
        for row in rows
        for lang in results.languages(task, metric)
        if (cell := results.cell(row, task, metric, lang)) is not None
    ]
    low, high = min(cell.n for cell in cells), max(cell.n for cell in cells)
    text = f"n = {low}" if low == high else f"n = {low} to {high}"
    sizes = {cell.set_size for cell in cells}
    if any(cell.of_more for cell in cells):
        return f"{text} per language, the first of more."
    if None in sizes:
        return f"{text} per language."
    known = [size for size in sizes if size is not None]
    share = [cell.n / cell.set_size for cell in cells if cell.set_size]
    if not known or min(share) >= 1:
        return f"{text} per language, the whole set."
    whole = f"{min(known)}" if len(known) == 1 else f"{min(known)} to {max(known)}"
    return f"{text} of {whole} per language ({100 * min(share):.0f} % of the set)."


def _legend(results: Results, table: Table, baseline: str) -> list[str]:
    """Sentences for the marks that the table in fact shows."""
    texts = [view.text for views in table.views for view in views]
    columns = {name for group in table.groups for name in group.columns}
    notes = []
    if "targets" in columns:
        notes.append("targets: mean over the target languages.")
    if any("±" in text for text in texts):
        notes.append(
            "±: standard error over items; an item in another language or under another seed is "
            "the same item."
        )
    if SEEDS in columns:
        notes.append(f"{SEEDS}: standard deviation over seeds.")
    if any("[" in text for text in texts):
        notes.append("[low, high]: 95 % interval over items (near 0 and 100 %: Wilson's).")
    if "gain" in columns:
        notes.append(f"gain: difference to {baseline} on the target languages.")
    if any(CLEAR_MARK in text for text in texts):
        notes.append(CLEAR_LEGEND)
    if any(view.best for views in table.views for view in views):
        notes.append(
            "Bold: best of the column, and what a paired test over items cannot tell from it."
        )
    if any(CHANCE_MARK in text for text in texts):
        notes.append(f"{CHANCE_MARK} not above chance by two standard errors.")
    if any(PARTIAL_MARK in text for text in texts):
        notes.append(f"{PARTIAL_MARK} mean over fewer languages than the others.")
    return notes
