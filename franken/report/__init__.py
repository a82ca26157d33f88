"""From ``results.jsonl`` to tables, CSV, Markdown, plots and one HTML page.

Imports neither torch nor transformers; matplotlib and jinja2 only when a report is written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from franken.errors import DataError
from franken.files import write_atomically
from franken.report.allocation import allocation_table
from franken.report.averages import macro_average
from franken.report.compare import comparison_tables
from franken.report.drawn import Keep, drawn_once
from franken.report.effects import effect_tables
from franken.report.initialisation import initialisation_table
from franken.report.new_tokens import draw_new_tokens, new_token_table
from franken.report.notes import computed_notes
from franken.report.plots import Plot, draw_plots, training_curves
from franken.report.records import (
    Record,
    append_records,
    parse_records,
    read_records,
    write_records,
)
from franken.report.results import Results
from franken.report.runs import Point, Run
from franken.report.tables import Table, all_tables
from franken.report.text import long_csv, markdown, print_table, wide_csv
from franken.report.transplant_summaries import Transplant, transplants_of
from franken.report.transplants import transplant_notes, transplant_tables

__all__ = [
    "Record",
    "ReportPaths",
    "append_records",
    "macro_average",
    "print_tables",
    "read_records",
    "report_markdown",
    "write_records",
    "write_report",
]

DETAILED_ROWS = 40
"""With more systems ``print_tables`` leaves the tables by language to the files."""


@dataclass(frozen=True)
class ReportPaths:
    """Files of a report."""

    html: Path
    markdown: Path
    long_csv: Path
    wide_csv: Path
    plots: tuple[Path, ...]


def print_tables(
    records: Results | Iterable[Record | Mapping[str, Any]],
    console: Console,
    *,
    baseline: str = "instruct",
    details: bool = True,
    notes: Sequence[str] = (),
) -> None:
    """Print the overview, then the primary metric of each task, then the warnings.

    Args:
        records: of any number of runs.
        console: where to; its width decides how many columns stand side by side.
        baseline: the model that gains refer to.
        details: whether tasks get tables of their own.
        notes: further warnings.
    """
    results = records if isinstance(records, Results) else Results(parse_records(records))
    if not results.records:
        console.print("no scores yet")
        return
    (first, *rest) = all_tables(results, baseline=baseline)
    primary = {f"{task}-{results.primary(task)}" for task in results.tasks}
    shown = [first]
    if details and len(results.rows) <= DETAILED_ROWS:
        shown += [table for table in rest if table.slug in primary]
    for table in shown:
        print_table(table, console)
    console.print()
    for line in dict.fromkeys(line for table in shown for line in table.legend):
        console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)
    for note in [*notes, *computed_notes(results)]:
        console.print(f"! {note}", markup=False, highlight=False, soft_wrap=True)


def report_markdown(title: str, tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Title, warnings and tables as Markdown."""
    lines = [f"# {title}", "", *(f"> {note}  " for note in notes), ""]
    return "\n".join([*lines, *(markdown(table) for table in tables)])


def write_report(
    groups: Sequence[Sequence[Run]],
    out_dir: Path,
    title: str,
    *,
    notes: Sequence[str] = (),
    baseline: str = "instruct",
    compare: bool = False,
    plots: bool = True,
    results: Results | None = None,
    keep: Keep | None = None,
) -> ReportPaths:
    """Write HTML, Markdown, CSV and plots for any runs.

    Args:
        groups: runs, path by path, as ``load_groups`` reads them.
        out_dir: where the report goes; files of an earlier report there are replaced.
        title: heading of the report.
        notes: warnings that only the caller knows of, such as failed jobs.
        baseline: the model that gains refer to.
        compare: whether every further group is set against the first.
        plots: whether to draw.
        results: the records of these runs, where they were put in order before.
        keep: where drawn plots are kept by what they show, for other reports of the same;
            without it they are drawn.

    Raises:
        DataError: where nothing was scored.
    """
    from franken.report.html import render_page

    runs = [run for group in groups for run in group]
    results = results or Results(record for run in runs for record in run.records)
    if not results.records:
        raise DataError("the runs hold no scores: nothing was evaluated; see recipe.evaluate")
    tables = all_tables(results, baseline=baseline)
    initialised = initialisation_table(runs)
    tables += [initialised] if initialised else []
    new_tokens = new_token_table(results.records)
    tables += [new_tokens] if new_tokens else []
    tables += effect_tables(results, runs)
    allocation = allocation_table(results)
    tables += [allocation] if allocation else []
    transplants = transplants_of(runs)
    tables[1:1] = transplant_tables(transplants)
    comparisons = comparison_tables(groups) if compare and len(groups) > 1 else []
    warnings = [*notes, *transplant_notes(transplants), *computed_notes(results)]
    drawn = []
    if plots:
        others = (training_curves(results, runs), transplants, baseline)
        draw = partial(_draw, results, *others)
        drawn = drawn_once(out_dir, results.records, others, draw, keep)
    paths = ReportPaths(
        html=out_dir / "index.html",
        markdown=out_dir / "report.md",
        long_csv=out_dir / "results_long.csv",
        wide_csv=out_dir / "results_wide.csv",
        plots=tuple(plot.path for plot in drawn),
    )
    page = render_page(title, results, tables, comparisons, drawn, runs, warnings)
    text = report_markdown(title, [tables[0], *comparisons, *tables[1:]], warnings)
    for path, content in (
        (paths.html, page),
        (paths.markdown, text),
        (paths.long_csv, long_csv(results.records)),
        (paths.wide_csv, wide_csv(results, baseline=baseline)),
    ):
        write_atomically(path, content.encode())
    return paths


def _draw(
    results: Results,
    curves: Mapping[str, Sequence[Point]],
    transplants: Sequence[Transplant],
    baseline: str,
    directory: Path,
) -> list[Plot]:
    """Every plot of a report, in reading order."""
    from franken.report.size_plots import draw_sizes
    from franken.report.transplant_plots import draw_transplants

    return [
        *draw_sizes(results.records, directory),
        *draw_transplants(transplants, directory),
        *draw_plots(results, curves, directory, baseline=baseline),
        *draw_new_tokens(results.records, directory / "new_tokens.png"),
    ]
