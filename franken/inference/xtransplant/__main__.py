"""``python -m franken.inference.xtransplant RUN_DIR``: results so far, while a run goes on."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from franken.commands import answered
from franken.errors import DataError
from franken.files import read_json
from franken.inference.xtransplant.bounds import blocks
from franken.inference.xtransplant.rows import TRANSPLANT, RowFiles, only
from franken.report.text import print_table
from franken.report.transplant_summaries import Transplant
from franken.report.transplants import transplant_tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Print progress and bounds of every transplant of a run; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m franken.inference.xtransplant",
        description="Progress and results so far of the transplants of a run, while it goes on.",
    )
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="such as outputs/runs/NAME/TIME")
    options = parser.parse_args(arguments)

    def command() -> int:
        _show(options.run, Console())
        return 0

    return answered(command)


def _show(run: Path, console: Console) -> None:
    paths = sorted((run / "transplants").glob("*.progress.json"))
    if not paths:
        raise DataError(f"{run} has no transplants/*.progress.json: no transplant has begun there")
    found = []
    for path in paths:
        step = path.name.removesuffix(".progress.json")
        progress = read_json(path)
        left = progress["seconds_left"]
        console.print(
            f"{step}: {progress['done']} of {progress['total']} samples, "
            f"{progress['answers']} of {progress['answers_total']} answers, "
            f"{progress['per_second']:.2f} {progress['kind']} answers a second"
            + ("" if left is None else f", {left:.0f} s left"),
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        files = RowFiles(Path(progress["rows"]))
        table = finished_samples(files.read())
        if table.num_rows:
            cut = files.totals().cut_samples > 0
            found.append(Transplant(f"{step} so far", so_far(table, step, cut=cut)))
        elif (run / "transplants" / f"{step}.json").exists():
            console.print("  finished; its figures are in the report", highlight=False)
    if found:
        print_table(transplant_tables(found)[0], console)


def finished_samples(table: pa.Table) -> pa.Table:
    """Rows of the samples whose transplants are done; all baselines of a language come first."""
    names = ("set", "lang", "id")
    keys = [pa.array(map("/".join, zip(*(part[name].to_pylist() for name in names), strict=True)),
                     pa.string()) for part in (table, only(table, run=TRANSPLANT))]  # fmt: skip
    return table.filter(pc.is_in(keys[0], keys[1]))


def so_far(table: pa.Table, step: str, *, cut: bool = False) -> dict[str, Any]:
    """The part of a step's summary that its rows alone can tell."""
    depth = 1 + max(max(table["source"].to_pylist()), max(table["target"].to_pylist()))
    return {
        "step": step,
        "model": "",
        "portion": "",
        "inference": {},
        "sets": blocks(table, depth, cut=cut),
    }


if __name__ == "__main__":
    sys.exit(main())
