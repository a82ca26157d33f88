"""Tables in docs that say what the declarations say."""

import dataclasses
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from franken.declare import options, schemas
from franken.declare.reading import fields_of, summary
from franken.declare.values import yaml_value

_MARKS = re.compile(r"(<!-- (options|fields): (\w+) -->).*?(<!-- end -->)", re.DOTALL)


def docs_with_tables(docs: Path) -> dict[Path, str]:
    """Page -> its text with what stands between two kinds of marks written anew.

    ``<!-- options: group -->``: a group's options, one a line; ``<!-- fields: group -->``: every
    field of a group whose options are presets. Both end with ``<!-- end -->``.
    """
    tables = {"options": table, "fields": fields_tables}
    found = {}
    for path in sorted(docs.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if _MARKS.search(text):
            found[path] = _MARKS.sub(lambda m: f"{m[1]}\n{tables[m[2]](m[3])}\n{m[4]}", text)
    return found


def table(group: str) -> str:
    """A Markdown table of a group's options: name, paper, needs (where any has), its sentence."""
    rows = []
    for name, cls in sorted(options(group).items()):
        if cls.__module__.startswith("franken."):
            needs = sorted(map(str, getattr(cls(), "needs", set)()))
            needs += ["training"] if getattr(cls, "learned", False) else []
            cells = [f"`{name}`", getattr(cls, "paper", ""), ", ".join(needs), summary(cls)]
            rows.append(cells)
    titles = ("name", "paper", "needs", "in short")
    used = [at for at in range(len(titles)) if any(cells[at] for cells in rows)]
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cells[at] for at in used)} |" for cells in lines)


def fields_tables(group: str) -> str:
    """A Markdown table for every schema of a group, and for every dataclass inside them."""
    places: dict[type[Any], list[str]] = {}
    for name, cls in schemas(group).items():
        places[cls] = [f"/schema/{group}/{name}"]
        for place, inner in dataclasses_inside(cls):
            if inner.__module__ != "franken.config.eval_set" or group == "eval_set":
                places.setdefault(inner, []).append(place)
    return "\n".join(
        f"\n{', '.join(f'`{place}`' for place in dict.fromkeys(where))}: {summary(cls)}.\n\n"
        f"{_fields_table(cls)}\n"
        for cls, where in places.items()
    )


def _fields_table(cls: type[Any]) -> str:
    lines = ["| field | default | |", "| --- | --- | --- |"]
    for item in fields_of(cls()):
        inner = dataclasses.is_dataclass(item.default)
        default = "below" if inner else f"`{yaml_value(item.default)}`"
        choices = f" One of: {', '.join(item.choices)}." if item.choices else ""
        text = f"{item.doc}{choices}".replace("``", "`").replace("|", "\\|")
        lines.append(f"| `{item.name}` | {default} | {text} |")
    return "\n".join(lines)


def dataclasses_inside(cls: type[Any], prefix: str = "") -> Iterator[tuple[str, type[Any]]]:
    """Where dataclasses stand in the fields of another, at any depth: ``classes.*``."""
    hints = typing.get_type_hints(cls)
    for item in dataclasses.fields(cls):
        for depth, kind in _kinds(hints[item.name], ""):
            if isinstance(kind, type) and dataclasses.is_dataclass(kind):
                place = f"{prefix}{item.name}{depth}"
                yield place, kind
                yield from dataclasses_inside(kind, f"{place}.")


def _kinds(kind: Any, depth: str) -> Iterator[tuple[str, Any]]:
    """The types in an annotation, with ``.*`` for what a mapping or a list holds."""
    if typing.get_origin(kind) in (dict, list):
        yield from _kinds(typing.get_args(kind)[-1], f"{depth}.*")
    elif typing.get_args(kind):
        for part in typing.get_args(kind):
            yield from _kinds(part, depth)
    else:
        yield depth, kind
