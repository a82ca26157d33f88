"""Imports that wait until they are used.

An option's file holds its declaration and its code. Who only reads the declaration (help, the fault
check, completion) must not pay for torch::

    from franken.lazy import later

    with later():
        import numpy as np
        from franken.token_map.builder import MapBuilder

Inside the block, plain import statements bind small stand-ins. The first use of one of them (an
attribute, a call, ``isinstance``) makes all imports of the module, in their order, and puts the
real objects in the places of the stand-ins. Type checkers and linters see ordinary imports. Where
torch and Lightning are loaded already there is nothing to save, and the imports are made at once.

A deferred name cannot be used while its module is being imported, so annotations must stay text
(``from __future__ import annotations``), and constants made of such names belong into functions.
A default of an argument would keep the stand-in: give ``None`` there.
Errors that are caught must be imported in the ordinary way: ``except`` takes no stand-in.
PEP 690 and PEP 810 want the same of the language itself.
"""

import builtins
import sys
import threading
from types import ModuleType
from typing import Any, TypeAlias

_HEAVY = ("torch", "pytorch_lightning")
_import = builtins.__import__
_lock = threading.Lock()
_open: dict[int, "later"] = {}
"""Blocks that are being executed, by the identity of their module's globals."""


class later:
    """Defer the imports of a ``with`` block at the top of a module.

    Args:
        public: for the ``__init__`` of a package that offers names of its modules: each is imported
            when it is asked for (PEP 562), so that importing a light module of it stays light.
    """

    def __init__(self, *, public: bool = False) -> None:
        self.globals: dict[str, Any] = sys._getframe(1).f_globals
        self._public = public
        self._eager = not public and all(name in sys.modules for name in _HEAVY)

    def __enter__(self) -> None:
        if self._eager:
            return
        with _lock:
            if not _open:
                builtins.__import__ = _deferring
            _open[id(self.globals)] = self

    def __exit__(self, *_: object) -> None:
        if self._eager:
            return
        with _lock:
            del _open[id(self.globals)]
            if not _open and builtins.__import__ is _deferring:
                builtins.__import__ = _import
        if self._public:
            self._publish()

    def _publish(self) -> None:
        names = {k: v for k, v in self.globals.items() if isinstance(v, _Deferred)}
        for name in names:
            del self.globals[name]

        def ask(name: str) -> Any:
            if name not in names:
                package = self.globals["__name__"]
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            self.globals[name] = found = names[name]._real()
            return found

        self.globals["__getattr__"] = ask

    def resolve(self) -> None:
        """Put the real objects in the places of all stand-ins of the module.

        Raises:
            ImportError: when a name is used before its module is complete, and whatever the
                deferred import raises.
        """
        name = str(self.globals.get("__name__"))
        if getattr(self.globals.get("__spec__"), "_initializing", False):
            raise ImportError(
                f"{name} uses a name of its 'with later():' block while it is being imported; use "
                "it inside a function, or import it in the ordinary way"
            )
        for key, value in list(self.globals.items()):
            if isinstance(value, _Deferred) and value._block is self:
                self.globals[key] = value._real()


def _deferring(
    name: str,
    globals: Any = None,
    locals: Any = None,
    fromlist: Any = (),
    level: int = 0,
) -> Any:
    """``__import__`` while some block is open: defers what that block asks for, nothing else."""
    block = None if globals is None else _open.get(id(globals))
    if block is None:
        return _import(name, globals, locals, fromlist, level)
    if fromlist and "*" in fromlist:
        raise ImportError(f"from {name} import * cannot be deferred; name what you import")
    return _Deferred(block, (name, tuple(fromlist or ()), level))


_Origin: TypeAlias = "tuple[str, tuple[str, ...], int] | tuple[_Deferred, str]"
"""Arguments of ``__import__``, or a stand-in and the attribute of it."""


class _Deferred:
    """A name whose import is still to be made: a module, or an attribute of another stand-in."""

    __slots__ = ("_block", "_origin")

    def __init__(self, block: later, origin: "_Origin") -> None:
        self._block = block
        self._origin = origin

    def _real(self) -> Any:
        """Do what the import statement would have done."""
        if len(self._origin) == 3:
            name, fromlist, level = self._origin
            return _import(name, self._block.globals, None, fromlist, level)
        parent, attribute = self._origin
        owner = parent._real()
        try:
            return getattr(owner, attribute)
        except AttributeError:
            place = getattr(owner, "__name__", "?")
            found = sys.modules.get(f"{place}.{attribute}")
            if isinstance(found, ModuleType):
                return found
            raise ImportError(f"cannot import name {attribute!r} from {place!r}") from None

    def _used(self) -> Any:
        self._block.resolve()
        return self._real()

    def __getattr__(self, attribute: str) -> Any:
        if id(self._block.globals) in _open:  # ``from parent import attribute`` in the block
            return _Deferred(self._block, (self, attribute))
        return getattr(self._used(), attribute)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._used()(*args, **kwargs)

    def __getitem__(self, key: Any) -> Any:
        return self._used()[key]

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._used())

    def __subclasscheck__(self, cls: type) -> bool:
        return issubclass(cls, self._used())

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._used(),)

    def __or__(self, other: Any) -> Any:
        return self._used() | other

    def __ror__(self, other: Any) -> Any:
        return other | self._used()

    def __iter__(self) -> Any:
        return iter(self._used())

    def __contains__(self, item: Any) -> bool:
        return item in self._used()

    def __repr__(self) -> str:
        where = self._origin[0] if len(self._origin) == 3 else self._origin[1]
        return f"<deferred import of {where} in {self._block.globals.get('__name__')}>"
