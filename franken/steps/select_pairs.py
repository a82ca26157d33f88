"""Choose one pair of layers per set and language from the runs of a pilot part."""

from typing import Any

from franken.config.steps import SelectPairsStep
from franken.files import read_json, write_json
from franken.inference.xtransplant.rows import FILE, read_rows
from franken.inference.xtransplant.selection import check_whole, select_pairs
from franken.steps.context import StepContext


def run(step: SelectPairsStep, context: StepContext) -> dict[str, Any]:
    """Writes ``pairs.json``."""
    grid = context.inputs["grid"].path
    summary = read_json(grid / "summary.json")
    check_whole(summary)
    found = select_pairs(read_rows(grid / FILE), step.select, summary["depth"], context.seed)
    write_json(context.directory / "pairs.json", found)
    return {"pairs": len(found), "tied": max(entry["tied"] for entry in found)}
