"""Choose one pair of layers per set and language from the runs of a pilot part."""

from __future__ import annotations

from dataclasses import asdict, field
from typing import Any, ClassVar

from franken.files import read_json, write_json
from franken.inference.base import SelectConfig
from franken.lazy import later
from franken.steps.base import Part, Step, step

with later():
    from franken.config.root import Config
    from franken.inference.xtransplant import rows as row_files
    from franken.inference.xtransplant.rows import read_rows
    from franken.inference.xtransplant.selection import check_whole, select_pairs
    from franken.steps.common.context import StepContext


@step
class SelectPairsStep(Step):
    """Choose one pair of layers per set and language on the runs of a pilot part."""

    output: ClassVar[Part] = Part.layer_pairs
    inputs: ClassVar[dict[str, Part]] = {"grid": Part.grid}
    grid: str = ""
    select: SelectConfig = field(default_factory=SelectConfig)

    def key(self, config: Config) -> dict[str, Any]:
        """The search."""
        return {"select": asdict(self.select)}

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes ``pairs.json``."""
        grid = context.inputs["grid"].path
        summary = read_json(grid / "summary.json")
        check_whole(summary)
        found = select_pairs(
            read_rows(grid / row_files.FILE), self.select, summary["depth"], context.seed
        )
        write_json(context.directory / "pairs.json", found)
        return {"pairs": len(found), "tied": max(entry["tied"] for entry in found)}
