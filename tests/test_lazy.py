"""Imports that wait until they are used."""

import ast
import builtins
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest

import franken.lazy
from tests.faults import raises


@pytest.fixture(autouse=True)
def not_eager(monkeypatch):
    """Torch is loaded in this process, and then nothing would be deferred."""
    monkeypatch.setattr(franken.lazy, "_HEAVY", ("no_such_module",))


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write modules and import the first; all are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def make(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        names.append(name)
        return __import__(name)

    yield make
    for name in [*names, "slow_part", "slow_package", "slow_package.inner"]:
        sys.modules.pop(name, None)


def slow(tmp_path):
    (tmp_path / "slow_part.py").write_text(
        "class Thing:\n    def __init__(self, x=1): self.x = x\n"
        "    def __class_getitem__(cls, key): return (cls, key)\n"
        "value = 7\n"
    )
    (tmp_path / "slow_package").mkdir()
    (tmp_path / "slow_package" / "__init__.py").write_text("")
    (tmp_path / "slow_package" / "inner.py").write_text("answer = 42\n")


USER = """
from __future__ import annotations
from franken.lazy import later
with later():
    import slow_part
    import slow_part as part
    import slow_package.inner
    import slow_package.inner as inner
    from slow_part import Thing, value as number
    from slow_package import inner as again
def made() -> Thing: return Thing(x=3)
def is_thing(x): return isinstance(x, Thing)
def answers(): return slow_package.inner.answer, inner.answer, again.answer, part.value
"""


def test_nothing_is_imported_until_a_name_is_used_and_then_all_are_real(tmp_path, module):
    slow(tmp_path)
    user = module("lazy_user", USER)
    assert "slow_part" not in sys.modules
    assert user.made().x == 3
    assert "slow_package.inner" in sys.modules
    assert user.slow_part is user.part is sys.modules["slow_part"]
    assert user.inner is user.again is sys.modules["slow_package.inner"]
    assert user.slow_package is sys.modules["slow_package"]
    assert user.Thing is sys.modules["slow_part"].Thing
    assert user.number == 7
    assert user.answers() == (42, 42, 42, 7)


@pytest.mark.parametrize(
    "use",
    [
        lambda user: user.is_thing(1) is False,
        lambda user: user.part.value == 7,
        lambda user: user.answers() == (42, 42, 42, 7),
        lambda user: user.Thing["k"] == (user.Thing, "k"),
        lambda user: issubclass(types.new_class("Sub", (user.Thing,)), user.Thing),
    ],
)
def test_any_first_use_resolves(tmp_path, module, use):
    slow(tmp_path)
    user = module("lazy_user", USER)
    assert use(user)
    assert user.Thing is sys.modules["slow_part"].Thing


def test_a_stand_in_that_was_taken_elsewhere_goes_on_working(tmp_path, module):
    slow(tmp_path)
    user = module("lazy_user", USER)
    early = user.Thing
    assert early(x=5).x == 5
    assert isinstance(user.made(), early)


def test_the_error_is_that_of_the_import_and_comes_again(module):
    user = module(
        "lazy_user",
        "from franken.lazy import later\nwith later():\n    import no_such_thing\n"
        "    from json import no_such_name\n"
        "def use(): return no_such_thing.x\n",
    )
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError) as caught:
            user.use()
        assert caught.value.name == "no_such_thing"


def test_a_missing_attribute_is_an_import_error(module):
    user = module(
        "lazy_user",
        "from franken.lazy import later\nwith later():\n    from json import no_such_name\n"
        "def use(): return no_such_name()\n",
    )
    with raises(ImportError, "no_such_name"):
        user.use()


def test_use_while_the_module_is_imported_is_refused_with_its_name(tmp_path, module):
    slow(tmp_path)
    text = (
        "from franken.lazy import later\nwith later():\n    import slow_part\nX = slow_part.value\n"
    )
    with raises(ImportError, "lazy_user"):
        module("lazy_user", text)


def test_a_star_cannot_be_deferred_and_the_hook_is_gone_afterwards(module):
    before = builtins.__import__
    with pytest.raises(ImportError):
        module(
            "lazy_user",
            "from franken.lazy import later\nwith later():\n    exec('from json import *')\n",
        )
    assert builtins.__import__ is before


def test_other_threads_import_as_ever_while_a_block_is_open(tmp_path, module):
    slow(tmp_path)
    found = []
    block = franken.lazy.later()
    block.__enter__()
    worker = threading.Thread(
        target=lambda: found.append(module("plain_user", "import slow_part\n"))
    )
    worker.start()
    worker.join()
    block.__exit__()
    assert found[0].slow_part.value == 7


def test_many_threads_may_be_the_first_user(tmp_path, module):
    slow(tmp_path)
    user = module("lazy_user", USER)
    found, gate = [], threading.Barrier(8)

    def use():
        gate.wait()
        found.append(user.made().x)

    workers = [threading.Thread(target=use) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [3] * 8


def test_public_names_of_a_package_are_imported_when_asked_for(tmp_path, module):
    slow(tmp_path)
    user = module(
        "lazy_user",
        "from franken.lazy import later\nwith later(public=True):\n"
        "    from slow_part import Thing\n    from slow_package import inner\n",
    )
    assert "slow_part" not in sys.modules
    assert "Thing" not in vars(user)
    assert user.Thing is sys.modules["slow_part"].Thing
    assert "slow_package" not in sys.modules
    assert user.inner.answer == 42
    with raises(AttributeError, "nothing"):
        _ = user.nothing


def test_where_torch_is_loaded_imports_are_made_at_once():
    code = (
        "import sys, types\n"
        "for name in ('torch', 'pytorch_lightning'): sys.modules[name] = types.ModuleType(name)\n"
        "from franken.lazy import later\n"
        "with later():\n    import colorsys\n"
        "print(type(colorsys).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "module"


def test_no_constant_is_deferred() -> None:
    """A stand-in that is passed on before it is used stays one: what is no code is not deferred."""
    found = []
    for path in Path("franken").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            deferring = isinstance(node, ast.With) and ast.unparse(node.items[0]) == "later()"
            for statement in node.body if deferring else []:
                if isinstance(statement, ast.ImportFrom):
                    found += [(path, a.name) for a in statement.names if a.name.isupper()]
    assert found == []
