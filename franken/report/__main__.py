"""``python -m franken.report PATH...``: rebuild the report of any runs, or compare them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from franken.commands import answered
from franken.report import print_tables, report_markdown, write_report
from franken.report.compare import comparison_tables
from franken.report.notes import computed_notes
from franken.report.results import Results
from franken.report.runs import Run, load_groups
from franken.report.tables import all_tables
from franken.report.text import print_table, wide_csv


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m franken.report",
        description="Rebuild the report of any runs; with several paths, compare them with the "
        "first.",
    )
    made.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH",
        help="a run directory, a directory of runs (a sweep), or a results.jsonl",
    )  # fmt: skip
    made.add_argument(
        "--out", type=Path, metavar="DIR",
        help="write HTML, Markdown, CSV and plots here (default: report/ in a single directory; "
        "nothing for several paths)",
    )  # fmt: skip
    made.add_argument("--title", help="heading of the report (default: the experiment's name)")
    made.add_argument(
        "--baseline", default="instruct", metavar="MODEL",
        help="model that gains refer to (default: %(default)s)",
    )  # fmt: skip
    form = made.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print one wide CSV table and stop")
    form.add_argument("--markdown", action="store_true", help="print Markdown tables and stop")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parser().parse_args(arguments)
    return answered(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    groups = load_groups(options.paths)
    results = Results(record for group in groups for run in group for record in run.records)
    title = options.title or _title(results)
    if options.csv:
        sys.stdout.write(wide_csv(results, baseline=options.baseline))
        return 0
    comparisons = comparison_tables(groups) if len(groups) > 1 else []
    if options.markdown:
        tables = all_tables(results, baseline=options.baseline)
        notes = computed_notes(results)
        sys.stdout.write(report_markdown(title, [tables[0], *comparisons, *tables[1:]], notes))
        return 0
    console = Console()
    print_tables(results.records, console, baseline=options.baseline)
    for table in comparisons:
        print_table(table, console)
    out = _out_dir(options, groups)
    if out is not None:
        paths = write_report(groups, out, title, baseline=options.baseline, compare=len(groups) > 1)
        console.print(f"\nreport   {paths.html}", soft_wrap=True, highlight=False, markup=False)
    return 0


def _title(results: Results) -> str:
    return ", ".join(dict.fromkeys(row.experiment for row in results.rows)) or "results"


def _out_dir(options: argparse.Namespace, groups: Sequence[Sequence[Run]]) -> Path | None:
    if options.out is not None:
        return Path(options.out)
    (path, *more) = options.paths
    return path / "report" if not more and path.is_dir() else None


if __name__ == "__main__":
    sys.exit(main())
