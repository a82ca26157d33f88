"""Prints what keeps a stand-in for good: defaults of arguments, attributes of classes, containers.

Run in a fresh interpreter, where nothing heavy is loaded and all imports of options wait.
"""

import inspect
import pkgutil
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import franken
from franken.declare import options
from franken.lazy import _Deferred


def keeps(value: Any) -> bool:
    return isinstance(value, _Deferred)


def functions_of(module: ModuleType) -> Iterator[FunctionType]:
    for value in vars(module).values():
        if inspect.isfunction(value):
            yield value
        elif inspect.isclass(value) and value.__module__ == module.__name__:
            yield from filter(inspect.isfunction, vars(value).values())


def kept_in(module: ModuleType) -> Iterator[str]:
    for function in functions_of(module):
        defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        if any(map(keeps, defaults)):
            yield f"{module.__name__}: a default of {function.__qualname__}"
    for name, value in vars(module).items():
        if inspect.isclass(value) and any(map(keeps, vars(value).values())):
            yield f"{module.__name__}: an attribute of {name}"
        if isinstance(value, tuple | list | set) and any(map(keeps, value)):
            yield f"{module.__name__}: {name}"


if __name__ == "__main__":
    for package in pkgutil.iter_modules(franken.__path__):
        if package.ispkg and any(
            inner.name == "base"
            for inner in pkgutil.iter_modules([f"{franken.__path__[0]}/{package.name}"])
        ):
            options(package.name)
    assert "torch" not in sys.modules
    for name, module in list(sys.modules.items()):
        if name.startswith("franken."):
            print("\n".join(kept_in(module)), end="")
