"""``python -m franken.docs``: the pages of ``docs/`` that are written from the code.

``api.md`` comes from the docstrings of the functions that ``franken`` itself offers, ``errors.md``
from the classes of ``franken.errors``.
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import franken
from franken import errors
from franken.errors import FrankenError

SECTIONS = ("Args", "Returns", "Raises", "Yields")


def api_page() -> str:
    """Every public name of ``franken`` with its signature and docstring."""
    names = [name for name in franken.__all__ if not name.startswith("_")]
    functions = [name for name in names if name[0].islower()]
    classes = [name for name in names if name[0].isupper()]
    parts = [
        "# API\n\nWritten by `python -m franken.docs` from the docstrings; [python.md](python.md) "
        "shows all of it at work. Functions are imported when they are first used.\n"
    ]
    parts += [_entry(f"franken.{name}", getattr(franken, name)) for name in functions]
    for name in classes:
        found = getattr(franken, name)
        parts.append(f"## `{name}`\n\n{_text(found)}")
        parts += [_member(name, member, value) for member, value in _members(found)]
    return "\n".join(parts)


def errors_page() -> str:
    """Every error class: what it means and what to do."""
    kinds = [value for value in vars(errors).values() if inspect.isclass(value)]
    parts = [
        "# Errors\n\nWritten by `python -m franken.docs` from `franken/errors.py`. Every error "
        "that franken raises on purpose is one of these; it says where, what was expected, "
        "what was found and what to do. `except franken.errors.FrankenError` catches them all.\n\n"
        "On the command line faults of the config are printed all at once before anything starts. "
        "An error of a step stops that job and leaves its traceback in the run's directory; the "
        "other jobs of a grid go on, and the same command again computes only what is missing. "
        "Exit codes: 0 all well, 1 a job failed (of the small commands: something was found), 2 a "
        "wrong request, 75 ended by a signal.\n"
    ]
    parts += [
        f"## `{kind.__name__}`\n\n{_text(kind)}" for kind in kinds if issubclass(kind, FrankenError)
    ]
    return "\n".join(parts)


PAGES: dict[str, Callable[[], str]] = {"api.md": api_page, "errors.md": errors_page}
"""File of ``docs/`` -> what writes it."""


def _members(found: Any) -> list[tuple[str, Any]]:
    own = {k: v for base in reversed(found.__mro__[:-1]) for k, v in vars(base).items()}
    return [
        (name, value)
        for name, value in own.items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property))
        and inspect.getdoc(value)
    ]


def _member(owner: str, name: str, value: Any) -> str:
    if isinstance(value, property):
        return f"**`{owner}.{name}`**: {_text(value)}"
    return f"**`{owner}.{name}{_signature(value)}`**\n\n{_text(value)}"


def _entry(title: str, function: Any) -> str:
    inner = inspect.unwrap(function)
    call = f"{title.removeprefix('franken.')}{_signature(inner)}"
    return f"## `{title}`\n\n```python\n{call}\n```\n\n{_text(inner)}"


def _signature(function: Any) -> str:
    """As it is written in the code, defaults included."""
    source = inspect.getsource(function)
    tree: Any = ast.parse(inspect.cleandoc("\n" + _dedented(source))).body[0]
    arguments = ast.unparse(tree.args)
    returned = f" -> {ast.unparse(tree.returns)}" if tree.returns is not None else ""
    return f"({arguments}){returned}"


def _dedented(source: str) -> str:
    indent = len(source) - len(source.lstrip())
    return "\n".join(line[indent:] for line in source.splitlines())


def _text(what: Any) -> str:
    """A Google docstring as Markdown: arguments and errors become lists."""
    lines, inside = [], ""
    for line in (inspect.getdoc(what) or "").splitlines():
        stripped = line.strip()
        if stripped.removesuffix(":") in SECTIONS and line == stripped:
            inside = stripped.removesuffix(":")
            lines += [f"*{inside}*", ""]
            continue
        if inside in ("Args", "Raises") and re.match(r"    \w+: ", line):
            name, _, rest = stripped.partition(": ")
            lines.append(f"* `{name}`: {rest}")
        elif line.startswith("        ") and lines and lines[-1]:
            lines[-1] += f" {stripped}"
        else:
            lines.append(stripped)
    return re.sub(r"``([^`]*)``", r"`\1`", "\n".join(lines)).replace(":func:", "") + "\n"


def main() -> None:
    """Write the pages of a checkout."""
    directory = Path(franken.__file__).resolve().parent.parent / "docs"
    if not directory.is_dir():
        sys.exit(f"{directory} is missing: the pages are written in a checkout")
    for name, page in PAGES.items():
        (directory / name).write_text(page(), encoding="utf-8")
        print(directory / name)


if __name__ == "__main__":
    main()
