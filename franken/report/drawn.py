"""Plots that are there already: of the same runs, by the same code, and whole."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import franken
from franken.files import read_json, write_json
from franken.report.plots import Plot
from franken.report.runs import Run

FILE_NAME = "plots.json"


def drawn_once(
    directory: Path, runs: Sequence[Run], others: Any, draw: Callable[[], list[Plot]]
) -> list[Plot]:
    """The plots of these runs; drawn, unless those in the directory are of the same.

    Args:
        directory: where all of them go.
        runs: with their scores and curves.
        others: what else they show; told by its ``repr``.
        draw: draws them.
    """
    mark = _mark_of(runs, others)
    known = _known(directory, mark)
    if known is None:
        known = draw()
        plots = [[plot.path.name, plot.title, plot.path.stat().st_size] for plot in known]
        write_json(directory / FILE_NAME, {"mark": mark, "plots": plots})
    return known


def _mark_of(runs: Sequence[Run], others: Any) -> str:
    """What plots follow from, without the time that a step took; code by its files' times."""
    package = Path(franken.__file__).parent
    stats = ((path, path.stat()) for path in sorted(package.rglob("*.py")))
    code = [(path.relative_to(package), stat.st_size, stat.st_mtime_ns) for path, stat in stats]
    shown: list[Any] = []
    for run in runs:
        steps = [(step["name"], step["key"]) for step in run.info.get("steps", [])]
        info = {**run.info, "steps": steps}
        shown.append((run.path, run.label, run.records, info, run.curves))
    return sha256(repr((code, shown, others)).encode()).hexdigest()


def _known(directory: Path, mark: str) -> list[Plot] | None:
    try:
        noted = read_json(directory / FILE_NAME)
        whole = all((directory / name).stat().st_size == size for name, _, size in noted["plots"])
        if noted["mark"] != mark or not whole:
            return None
        return [Plot(directory / name, title) for name, title, _ in noted["plots"]]
    except (OSError, ValueError, LookupError, TypeError):
        return None
