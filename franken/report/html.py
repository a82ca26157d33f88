"""One HTML page that holds everything, tables, plots and provenance, and loads nothing."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from franken.report.plots import Plot
from franken.report.results import Results
from franken.report.runs import Run
from franken.report.tables import Table

LISTED_RUNS = 40
"""Runs shown under provenance; more are counted."""


def render_page(
    title: str,
    results: Results,
    tables: Sequence[Table],
    comparisons: Sequence[Table],
    plots: Sequence[Plot],
    runs: Sequence[Run],
    notes: Sequence[str],
) -> str:
    """The page as text.

    Args:
        title: heading.
        results: the scores, for counts.
        tables: the overview first, then the details.
        comparisons: tables of differences between runs.
        plots: figures to embed.
        runs: for provenance.
        notes: warnings, shown on top.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("franken.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["zip"] = lambda one, other: list(zip(one, other, strict=True))
    environment.filters["firsts"] = _group_starts
    template = environment.get_template("report.html.j2")
    return template.render(
        title=title,
        summary=_summary(results, runs),
        notes=list(notes),
        overview=tables[0],
        details=tables[1:],
        unfolded={f"{task}-{results.primary(task)}" for task in results.tasks},
        comparisons=comparisons,
        plots=[_embedded(plot) for plot in plots],
        runs=[_provenance(run) for run in runs[:LISTED_RUNS]],
        more_runs=max(0, len(runs) - LISTED_RUNS),
        signatures=_signatures(results),
    )


def _group_starts(table: Table) -> list[bool]:
    """Per value column whether it opens a group."""
    return [at == 0 for group in table.groups for at in range(len(group.columns))]


def _embedded(plot: Plot) -> dict[str, str]:
    data = base64.b64encode(plot.path.read_bytes()).decode()
    return {"title": plot.title, "data": data}


def _summary(results: Results, runs: Sequence[Run]) -> str:
    seeds = len({record.seed for record in results.records})
    counts = (
        (len(results.records), "score"),
        (len(results.rows), "system"),
        (len(results.tasks), "task"),
        (seeds, "seed"),
        (len(runs), "run"),
    )
    return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in counts)


def _signatures(results: Results) -> list[str]:
    found = (str(record.extra.get("signature", "")) for record in results.records)
    return sorted({signature for signature in found if signature})


def _provenance(run: Run) -> dict[str, Any]:
    """What ``run.json`` says, shortened for reading."""
    info = run.info
    steps = [
        {
            "name": str(step.get("name", "")),
            "kind": str(step.get("kind", "")),
            "key": str(step.get("key", ""))[:16],
            "state": "cached" if step.get("cached") else "computed",
            "seconds": float(step.get("seconds") or 0.0),
        }
        for step in info.get("steps", [])
    ]
    first = run.records[0] if run.records else None
    parts = [str(info.get("experiment") or (first.experiment if first else ""))]
    if info.get("variant"):
        parts.append(str(info["variant"]))
    if first is not None:
        parts.append(f"seed {first.seed}")
    if steps:
        cached = sum(bool(step.get("cached")) for step in info["steps"])
        seconds = sum(float(step.get("seconds") or 0.0) for step in info["steps"])
        parts.append(f"{len(steps)} steps, {cached} cached, {seconds:.0f} s")
    keys = sorted({record.key[:16] for record in run.records if record.key})
    if not steps and keys:
        parts.append(f"keys {', '.join(keys[:4])}")
    config = info.get("config")
    return {
        "name": run.path.parent.name or str(run.path),
        "summary": ", ".join(part for part in parts if part),
        "command": str(info.get("command", "")),
        "steps": steps,
        "versions": {str(k): str(v) for k, v in dict(info.get("versions") or {}).items()},
        "config": json.dumps(config, indent=2, ensure_ascii=False) if config else "",
    }
