"""Why two keys differ: the fields, followed into the inputs down to where the difference began."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from franken.files import leaves
from franken.store.artifact import Artifact
from franken.store.graph import Graph

ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    """One field that two specs have differently."""

    field: str
    """Dotted name; inputs of inputs read ``inputs.model > config.lr``."""
    left: Any
    right: Any

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Difference]:
    """The fields in which two specs differ, by name; lists are compared whole.

    A field that one side lacks is shown as ``(absent)`` there.
    """
    a, b = dict(leaves(left)), dict(leaves(right))
    names = sorted(name for name in a.keys() | b.keys() if not _same(a, b, name))
    return [Difference(name, a.get(name, ABSENT), b.get(name, ABSENT)) for name in names]


def _same(a: Mapping[str, Any], b: Mapping[str, Any], name: str) -> bool:
    return name in a and name in b and type(a[name]) is type(b[name]) and a[name] == b[name]


def explain_difference(graph: Graph, left: Artifact, right: Artifact) -> list[Difference]:
    """``differences`` of two artefacts, followed into their inputs.

    A differing input is replaced by *its* differences as far as the store still holds both sides
    and they are of one kind.
    """
    return list(_deep(graph, left, right, ""))


def _deep(graph: Graph, left: Artifact, right: Artifact, prefix: str) -> Iterator[Difference]:
    for item in differences(left.spec, right.spec):
        a, b = graph.artifacts.get(str(item.left)), graph.artifacts.get(str(item.right))
        is_input = item.field.startswith("inputs.")
        if is_input and a is not None and b is not None and a.kind == b.kind:
            yield from _deep(graph, a, b, f"{prefix}{item.field} > ")
        else:
            yield Difference(prefix + item.field, item.left, item.right)
