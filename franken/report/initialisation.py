"""How the tables of a grid were initialised: rows by provenance, cost of the fit, gold rows."""

from collections.abc import Iterable
from typing import Any

from franken.report.runs import Run
from franken.report.tables import Group, Table, View

_KINDS = ("special", "copied", "computed", "given", "fallback", "padding")


def initialisation_table(runs: Iterable[Run]) -> Table | None:
    """One row per initialisation, equal ones once; ``None`` where no run made a table."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for run in runs:
        for entry in run.info.get("initialisations", []):
            rows.setdefault((entry["variant"], entry["key"]), entry)
    if not rows:
        return None
    groups = [Group("rows", _KINDS), Group("fit", ("seconds", "peak MB"))]
    with_gold = any(entry.get("gold") for entry in rows.values())
    if with_gold:
        groups.append(Group("gold", ("cosine", "found %")))
    table = Table(
        "initialisation", "Initialisation: rows by provenance, cost of the fit",
        ("method", "variant"), groups,
    )  # fmt: skip
    seen = set()
    for entry in rows.values():
        label = (entry["method"], entry["variant"])
        if label in seen:
            continue  # another seed
        seen.add(label)
        counts = [float(entry["rows"].get(kind, 0)) for kind in _KINDS]
        views = [View(f"{count:.0f}", count) for count in counts]
        table.labels.append(label)
        views += [_view(entry["seconds"], 1, 2), _view(entry["peak"], 1e6, 0)]
        if with_gold:
            gold = entry.get("gold") or {}
            views += [_view(gold.get("cosine"), 1, 3), _view(gold.get("found"), 0.01, 1)]
        table.views.append(views)
    table.notes.append("Rows of the first seed; the fit alone, without the steps it draws on.")
    if with_gold:
        table.notes.append(
            "Gold: the input rows against those of the true word links, both without the mean "
            "source row, over the tokens that the links say something of. Cosine: the mean; found: "
            "rows nearer to the true row of their own token than to that of any other."
        )
    return table


def _view(value: float | None, unit: float, digits: int) -> View:
    return View() if value is None else View(f"{value / unit:.{digits}f}", value / unit)
