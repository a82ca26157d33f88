"""Which way things depend: no module imports itself in a circle, and layers point one way."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

SHELL = {
    "cli", "run", "recipe", "recipe_checkpoints", "recipe_hydra", "recipe_training", "steps",
    "side_resource", "store", "library",
}  # fmt: skip
"""What wires the core together; nothing else may import it, command lines (``__main__``) apart."""
LIGHT = {"errors", "files", "lazy", "seeds", "families"}
"""All that the parts of a model may rest on."""


@cache
def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((ROOT / "franken").rglob("*.py"))
    }


BLOCKS = (ast.mod, ast.stmt, ast.excepthandler, ast.match_case)


@cache
def statements(path: Path) -> list[tuple[ast.Import | ast.ImportFrom, bool]]:
    """The imports of a file, inside functions as well, and whether each is for typing alone."""
    found: list[tuple[ast.Import | ast.ImportFrom, bool]] = []
    left: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text(encoding="utf-8")), False)]
    while left:
        node, typing = left.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append((node, typing))
        guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        left += [
            (child, typing or (guarded and child in node.body))
            for child in ast.iter_child_nodes(node)
            if isinstance(child, BLOCKS)
        ]
    return found


def imported(path: Path, *, typing_too: bool = True) -> Iterator[str]:
    """Modules that a file imports, inside functions as well."""
    for node in [node for node, typing in statements(path) if typing_too or not typing]:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("franken"):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules() else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules())


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Modules that no order can untangle: what is left when leaves are taken off, and again."""
    left = {name: set(needs) for name, needs in graph.items()}
    while True:
        leaves = {name for name, needs in left.items() if not needs & left.keys()}
        if not leaves:
            break
        left = {name: needs for name, needs in left.items() if name not in leaves}
    return [sorted(left)] if left else []


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert circles(graph) == [["a", "b", "c"]]  # a hangs on the circle of b and c
    assert circles({"a": {"b"}, "b": set()}) == []


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        name: {other for other in imported(path, typing_too=False) if other != name}
        for name, path in modules().items()
    }
    assert circles(graph) == []


def test_the_core_does_not_know_its_shell() -> None:
    """Packages of the core know neither steps nor store nor command line."""
    found = []
    for name, path in modules().items():
        package = name.split(".")[1] if "." in name else ""
        if package in SHELL | {"__main__", "declare", ""} or name.endswith(".__main__"):
            continue
        found += [
            (name, other)
            for other in imported(path)
            if other.count(".") and other.split(".")[1] in SHELL
        ]
    assert found == []


def test_parts_rest_on_little() -> None:
    found = {
        other.split(".")[1]
        for name, path in modules().items()
        if name.startswith("franken.parts")
        for other in imported(path)
        if other.count(".")
    }
    assert found <= {"parts", *LIGHT}
