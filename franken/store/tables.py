"""What the command line shows."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from franken.files import leaves
from franken.store.artifact import Artifact
from franken.store.difference import Difference
from franken.store.disk import megabytes
from franken.store.graph import Graph
from franken.store.prune import Plan


def age(created: str, now: datetime | None = None) -> str:
    """Time since an ISO 8601 stamp in its largest unit."""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(created)).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def list_table(artifacts: Iterable[Artifact]) -> Table:
    """One row per artefact."""
    table = Table(box=None, pad_edge=False)
    for name in ("kind", "key", "label"):
        table.add_column(name, overflow="fold")
    for name in ("size", "age", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for item in artifacts:
        table.add_row(
            item.kind,
            item.short,
            escape(item.label),
            megabytes(item.size),
            age(item.created),
            f"{item.seconds:.1f}",
        )
    return table


def input_tree(graph: Graph, artifact: Artifact) -> Tree:
    """The artefact and all it was made from; what appears twice is written out once."""
    tree = Tree(_line(artifact))
    _grow(tree, graph, artifact, {artifact.key})
    return tree


def _grow(tree: Tree, graph: Graph, artifact: Artifact, shown: set[str]) -> None:
    for name, key in sorted(artifact.inputs.items()):
        found = graph.artifacts.get(key)
        if found is None:
            tree.add(f"{escape(name)} = {key[:12]} [yellow]not in the store[/]")
            continue
        again = key in shown
        branch = tree.add(f"{escape(name)} = {_line(found)}{' (as above)' if again else ''}")
        if not again:
            shown.add(key)
            _grow(branch, graph, found, shown)


def _line(artifact: Artifact) -> str:
    facts = f"{artifact.short}  {megabytes(artifact.size)}  {artifact.seconds:.1f} s"
    return f"[bold]{artifact.kind}[/] {escape(artifact.label)}  [dim]{facts}[/]"


def facts_table(artifact: Artifact) -> Table:
    """Config, versions and files of one artefact."""
    manifest = artifact.manifest
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    rows: list[tuple[str, Any]] = [("key", artifact.key), ("path", artifact.path)]
    rows += [(name, manifest[name]) for name in ("created", "seconds", "device", "seed", "python")]
    rows += [("versions", " ".join(f"{n}={v}" for n, v in manifest["versions"].items()))]
    rows += [
        (name, value)
        for name, value in leaves(artifact.spec)
        if name not in ("kind", "seed") and not name.startswith("inputs.")
    ]
    rows += [(f"meta.{name}", value) for name, value in artifact.meta.items()]
    rows += [
        (
            f"file {name}",
            f"{megabytes(entry['size'])} {entry.get('link', '')} {entry['sha256'][:12]}",
        )
        for name, entry in manifest["files"].items()
    ]
    for name, value in rows:
        table.add_row(escape(name), escape(str(value)))
    return table


def difference_table(left: Artifact, right: Artifact, found: Sequence[Difference]) -> Table:
    """One row per differing field."""
    table = Table(box=None, pad_edge=False)
    table.add_column("field", overflow="fold")
    table.add_column(f"{left.short} {escape(left.label)}", overflow="fold")
    table.add_column(f"{right.short} {escape(right.label)}", overflow="fold")
    for item in found:
        table.add_row(escape(item.field), escape(str(item.left)), escape(str(item.right)))
    return table


def plan_table(plan: Plan) -> Table:
    """One row per directory to remove."""
    table = Table(box=None, pad_edge=False)
    for name in ("what", "key", "label"):
        table.add_column(name, overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    for item in plan.removals:
        table.add_row(item.what, item.key[:12], escape(item.label), megabytes(item.size))
    return table
