"""Plots that are there already: of the same runs, by the same code, and whole.

They are kept where a report is written once more, and copied from the reports beside it: a grid
that is repeated has a directory of its own next to those of earlier times.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import franken
from franken.files import read_json, write_atomically, write_json
from franken.report.plots import Plot
from franken.report.runs import Run

FILE_NAME = "plots.json"
MOST_NEIGHBOURS = 16
"""Reports beside one that are looked at, the latest first."""


def drawn_once(
    directory: Path, runs: Sequence[Run], others: Any, draw: Callable[[], list[Plot]]
) -> list[Plot]:
    """The plots of these runs; drawn, unless those in the directory or beside it are of the same.

    Args:
        directory: where all of them go.
        runs: with their scores and curves.
        others: what else they show; told by its ``repr``.
        draw: draws them.
    """
    mark = _mark_of(runs, others)
    known = _known(directory, mark)
    if known is None:
        known = _copied_from_neighbours(directory, mark) or draw()
        plots = [[plot.path.name, plot.title, plot.path.stat().st_size] for plot in known]
        write_json(directory / FILE_NAME, {"mark": mark, "plots": plots})
    return known


def _copied_from_neighbours(directory: Path, mark: str) -> list[Plot]:
    """Plots of a report of the same name in a directory beside this one's, brought here."""
    where = directory.resolve().parent.parent
    notes = sorted(where.glob(f"*/{directory.name}/{FILE_NAME}"), key=lambda path: -_changed(path))
    for note in notes[:MOST_NEIGHBOURS]:
        brought = [Plot(directory / p.path.name, p.title) for p in _known(note.parent, mark) or ()]
        try:
            for plot in brought:
                write_atomically(plot.path, (note.parent / plot.path.name).read_bytes())
        except OSError:
            continue  # it is being removed
        if brought:
            return brought
    return []


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


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
