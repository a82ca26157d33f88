"""Plots by what they show: drawn once, and copied wherever a report shows the same.

Only who has a place for them can keep them; else they are drawn for every report.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import franken
from franken.errors import ArtifactError
from franken.files import read_json, write_atomically, write_json
from franken.report.plots import Plot
from franken.report.records import Record
from franken.statistics import Units

FILE_NAME = "plots.json"
"""Names and titles of kept plots, in reading order."""
CODE = ("report", "statistics", "resampling.py")
"""What of franken decides how a plot looks."""

Mark = dict[str, str]
"""What plots show and what draws them, by digests and versions."""
Keep = Callable[[Mark, Callable[[Path], None]], Path]
"""Gives the directory that belongs to a mark; where there is none, the function fills a new one."""


def drawn_once(
    directory: Path,
    records: Iterable[Record],
    others: Sequence[Any],
    draw: Callable[[Path], list[Plot]],
    keep: Keep | None,
) -> list[Plot]:
    """Plots in a directory: copies of kept ones, else drawn.

    Args:
        directory: where all of them go.
        records: the scores that they show, told apart by variants.
        others: whatever else they show; told by its ``repr``.
        draw: draws them into a directory.
        keep: where drawn ones are kept. What cannot be kept is drawn for this directory alone.
    """

    def fill(new: Path) -> None:
        write_json(new / FILE_NAME, [[plot.path.name, plot.title] for plot in draw(new)])

    if keep is not None:
        mark = _mark_of(records, others)
        try:
            return _copied(keep(mark, fill), directory)
        except (ArtifactError, OSError):  # it can only be read, is full, or is being pruned
            pass
    return draw(directory)


def _copied(place: Path, directory: Path) -> list[Plot]:
    plots = [Plot(directory / name, title) for name, title in read_json(place / FILE_NAME)]
    for plot in plots:
        write_atomically(plot.path, (place / plot.path.name).read_bytes())
    return plots


def _mark_of(records: Iterable[Record], others: Sequence[Any]) -> Mark:
    """The same in every directory and on every machine."""
    shown = sha256(repr(others).encode())
    for record in records:
        extra = {name: value for name, value in record.extra.items() if name != "run"}
        shown.update(repr(replace(record, extra=extra)).encode())
        if record.units is not None:
            shown.update(_bytes_of(record.units))
    return {"shown": shown.hexdigest(), "code": _code(), "matplotlib": version("matplotlib")}


def _bytes_of(units: Units) -> bytes:
    """All columns; the ``repr`` of so many numbers would take a third as long as drawing them."""
    texts: Sequence[Sequence[str]] = (units.ids, units.clusters or ())
    numbers: Sequence[Sequence[float]] = (units.above, units.below or ())
    columns = ["\0".join(column).encode() for column in texts]
    return b"\1".join([*columns, *(array("d", column).tobytes() for column in numbers)])


def _code() -> str:
    digest = sha256()
    package = Path(franken.__file__).parent
    for name in CODE:
        place = package / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(f"{path.relative_to(package).as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
