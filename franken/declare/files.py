"""Files that say no more than the declarations: ``conf/<group>/<name>.yaml`` and tables in docs."""

import enum
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from franken.declare import GROUPS, options
from franken.declare.reading import FieldDoc, fields_of, summary

_WIDTH = 118
_PLAIN = re.compile(r"[A-Za-z_]\w*")
_TYPED = ("null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan")
"""Words that YAML takes for something else than text."""
_MARKS = re.compile(r"(<!-- options: (\w+) -->).*?(<!-- end -->)", re.DOTALL)


def written_files(conf: Path) -> dict[Path, str]:
    """Path -> what the file should hold, for every option of franken's own."""
    return {
        conf / group / f"{name}.yaml": yaml_text(group, cls)
        for group in GROUPS
        for name, cls in options(group).items()
        if cls.__module__.startswith("franken.")
    }


def docs_with_tables(docs: Path) -> dict[Path, str]:
    """Page -> its text with the tables of options between ``<!-- options: group -->`` marks."""
    found = {}
    for path in sorted(docs.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if _MARKS.search(text):
            found[path] = _MARKS.sub(lambda m: f"{m[1]}\n{table(m[2])}\n{m[3]}", text)
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


def stale_files(conf: Path) -> list[Path]:
    """Files that are missing, or that hold something else than their declaration says."""
    wanted = {**written_files(conf), **docs_with_tables(conf.parent / "docs")}
    return [
        path
        for path, text in wanted.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def yaml_text(group: str, cls: type[Any]) -> str:
    """The YAML file of an option: every field with its default and its line."""
    option = cls()
    source = _source_of(cls)
    head = [
        f"# {summary(cls)}.",
        f"# Written from {source} by `python -m franken.declare --write`: change it there.",
        "defaults:",
        f"  - /schema/{group}/{option.name}@_here_",
        "  - _self_",
        "",
    ]
    return "\n".join([*head, *_lines(fields_of(option), "")]) + "\n"


def _source_of(cls: type) -> str:
    """The file of a declaration, seen from the directory that holds ``franken``."""
    path = Path(inspect.getfile(cls))
    depth = cls.__module__.count(".") + (path.stem == "__init__")
    return path.relative_to(path.parents[depth]).as_posix()


def _lines(fields: tuple[FieldDoc, ...], indent: str) -> Iterator[str]:
    for item in fields:
        text = item.doc
        if item.choices:
            text = f"{text} One of: {', '.join(item.choices)}.".strip()
        for line in textwrap.wrap(text, _WIDTH - len(indent), break_on_hyphens=False):
            yield f"{indent}# {line}"
        if item.nested:
            yield f"{indent}{yaml_value(item.name)}:"
            yield from _lines(item.nested, indent + "  ")
        else:
            yield f"{indent}{yaml_value(item.name)}: {yaml_value(item.default)}"


def yaml_value(value: Any) -> str:
    """A default as YAML in one line; an enum by the name of its member."""
    if isinstance(value, enum.Enum):
        value = value.name
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")  # YAML 1.1
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _TYPED:
        return value
    return json.dumps(value, ensure_ascii=False)
