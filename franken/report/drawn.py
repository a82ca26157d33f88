"""Plots that are there already: of the same runs, by the same code, and whole.

They are kept where a report is written once more, and, for who has a place for them, by what they
show: a grid whose steps are all stored has a new directory of its own and draws nothing.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import franken
from franken.errors import ArtifactError
from franken.files import read_json, write_atomically, write_json
from franken.report.plots import Plot
from franken.report.runs import Run

FILE_NAME = "plots.json"

Keep = Callable[[str, Callable[[Path], None]], Path]
"""Gives the directory that belongs to a mark; where there is none, the function fills a new one."""


def drawn_once(
    directory: Path,
    runs: Sequence[Run],
    others: Any,
    draw: Callable[[Path], list[Plot]],
    keep: Keep | None = None,
) -> list[Plot]:
    """The plots of these runs; drawn, unless those in the directory or those kept are of the same.

    Args:
        directory: where all of them go.
        runs: with their scores and curves.
        others: what else they show; told by its ``repr``.
        draw: draws them into a directory.
        keep: where drawn ones are kept; what cannot be kept there is drawn for the directory alone.
    """
    mark = _mark_of(runs, others)
    known = _known(directory, mark)
    if known is None and keep is not None:
        known = _brought(directory, mark, draw, keep)
    if known is None:
        known = draw(directory)
        _note(directory, mark, known)
    return known


def _brought(
    directory: Path, mark: str, draw: Callable[[Path], list[Plot]], keep: Keep
) -> list[Plot] | None:
    """Kept plots, copied here; ``None`` where none can be had."""
    try:
        place = keep(mark, lambda new: _note(new, mark, draw(new)))
        kept = _known(place, mark)
        for plot in kept or ():
            write_atomically(directory / plot.path.name, plot.path.read_bytes())
    except (ArtifactError, OSError):  # nothing can be written there, or it is being removed
        return None
    if kept is None:
        return None
    plots = [Plot(directory / plot.path.name, plot.title) for plot in kept]
    _note(directory, mark, plots)
    return plots


def _note(directory: Path, mark: str, plots: Sequence[Plot]) -> None:
    listed = [[plot.path.name, plot.title, plot.path.stat().st_size] for plot in plots]
    write_json(directory / FILE_NAME, {"mark": mark, "plots": listed})


def _mark_of(runs: Sequence[Run], others: Any) -> str:
    """What plots follow from, without the time that a step took; code by its files' times."""
    package = Path(franken.__file__).parent
    stats = ((path, path.stat()) for path in sorted(package.rglob("*.py")))
    code = [(path.relative_to(package), stat.st_size, stat.st_mtime_ns) for path, stat in stats]
    shown: list[Any] = []
    for run in runs:
        steps = [(step["name"], step["key"]) for step in run.info.get("steps", [])]
        info = {**run.info, "steps": steps}
        shown.append((run.label, run.records, info, run.curves))
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
