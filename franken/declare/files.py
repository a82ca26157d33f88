"""Files that say no more than the declarations: ``conf/<group>/<name>.yaml`` and tables in docs."""

import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from franken.declare import GROUPS, declared_name, preset_groups, written_options
from franken.declare.reading import FieldDoc, fields_of, summary
from franken.declare.tables import docs_with_tables
from franken.declare.values import yaml_value

_WIDTH = 118


def written_files(conf: Path) -> dict[Path, str]:
    """Path -> what the file should hold, for every option of franken's own."""
    return {
        conf / group / f"{name}.yaml": yaml_text(group, cls)
        for group in (*GROUPS, *preset_groups())
        for name, cls in written_options(group).items()
    }


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
        f"  - /schema/{group}/{declared_name(cls)}@_here_",
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
