"""What a declaration says about itself: its summary, and the line of every field."""

import ast
import dataclasses
import inspect
import sys
import typing
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FieldDoc:
    """One field of an option."""

    name: str
    default: Any
    """As the option has it; for a nested dataclass its own defaults count."""
    doc: str
    """The text under the field, on one line; else what its enum or dataclass is about."""
    nested: tuple["FieldDoc", ...] = ()
    """Fields of a nested dataclass."""
    choices: tuple[str, ...] = ()
    """Names of an enum's members."""


def summary(cls: type) -> str:
    """The first sentence of a class's documentation, on one line, without its full stop."""
    text = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0]
    return " ".join(text.split()).removesuffix(".")


def fields_of(option: Any) -> tuple[FieldDoc, ...]:
    """The fields of an option, or of a dataclass inside one, with what is said about each."""
    hints = typing.get_type_hints(type(option))
    docs: dict[str, str] = {}
    for base in reversed(type(option).__mro__):
        docs |= field_docs(base)
    found = []
    for item in dataclasses.fields(option):
        value = getattr(option, item.name)
        nested = _nested(value) if dataclasses.is_dataclass(value) else ()
        kinds = typing.get_args(hints[item.name]) or (hints[item.name],)
        choices = tuple(name for kind in kinds for name in getattr(kind, "__members__", ()))
        doc = docs.get(item.name) or _of_type(kinds[0])
        found.append(FieldDoc(item.name, value, doc, nested, choices))
    return tuple(found)


def _of_type(kind: Any) -> str:
    """What an enum or a dataclass is about; nothing of plain types."""
    told = dataclasses.is_dataclass(kind) or hasattr(kind, "__members__")
    return f"{summary(kind)}." if told else ""


def _nested(value: Any) -> tuple[FieldDoc, ...]:
    """Fields of a dataclass inside an option.

    Of one that is common to many (``franken.config``) those that differ from its own defaults: the
    others are said where it is declared, and would go stale here.
    """
    found = fields_of(value)
    if not type(value).__module__.startswith("franken.config."):
        return found
    own = type(value)()
    return tuple(item for item in found if getattr(own, item.name) != item.default)


def field_docs(cls: type) -> dict[str, str]:
    """Field -> the string under it in the class's own body."""
    body = _classes_of(cls.__module__).get(cls.__qualname__, ())
    found = {}
    for item, after in pairwise(body):
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[item.target.id] = " ".join(inspect.cleandoc(str(after.value.value)).split())
    return found


@cache
def _classes_of(module: str) -> dict[str, list[ast.stmt]]:
    """Body of every class at the top of a module."""
    path = getattr(sys.modules.get(module), "__file__", None)
    if path is None:
        return {}
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    return {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}
