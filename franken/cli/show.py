"""The end of a run: tables on the console, report files, and where everything is."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from franken.report import print_tables, write_report
from franken.report.drawn import Mark
from franken.report.results import Results
from franken.report.runs import load_groups
from franken.report.text import print_table
from franken.report.transplant_summaries import transplants_of
from franken.report.transplants import CAUTION, transplant_notes, transplant_tables
from franken.store import StepKey, Store


def show_report(
    run_dirs: list[Path], out_dir: Path, title: str, *, command: str, store: Store
) -> None:
    """Print the tables of these runs and write CSV, Markdown, plots and the HTML page.

    Plots are kept in the store, so a run whose steps are all there draws none in a new place.
    """
    console = Console()
    groups = load_groups(run_dirs)
    runs = [run for group in groups for run in group]
    if not any(run.records for run in runs):
        return
    results = Results(record for run in runs for record in run.records)
    print_tables(results, console)
    transplants = transplants_of(runs)
    for table in transplant_tables(transplants):
        if table.slug in ("transplants", "transplant-differences"):
            print_table(table, console)
    for note in transplant_notes(transplants):
        if note not in CAUTION:  # these stand below the tables
            console.print(f"! {note}", markup=False, highlight=False, soft_wrap=True)

    def keep(mark: Mark, fill: Callable[[Path], None]) -> Path:
        def build(place: Path) -> dict[str, str]:
            fill(place)
            return {"device": "cpu"}

        return store.produce(StepKey.of("plots", 1, config=mark), build, label=title).path

    paths = write_report(groups, out_dir / "report", title, results=results, keep=keep)
    console.print(f"results  {out_dir / 'results.jsonl'}", soft_wrap=True, highlight=False)
    console.print(f"report   {paths.html}", soft_wrap=True, highlight=False)
    console.print(f"repeat   {command}", soft_wrap=True, highlight=False, markup=False)
