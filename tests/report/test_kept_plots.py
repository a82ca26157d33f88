"""Plots are drawn once, and copied from the store wherever a report shows the same."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import franken
from franken.cli.show import show_report
from franken.report.drawn import CODE
from franken.store import Store


def shown(run, out, store):
    """Plots of the report of a run -> their bytes."""
    show_report([run], out, "demo", command="", store=store)
    return {path.name: path.read_bytes() for path in sorted((out / "report").glob("*.png"))}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def kept(store):
    return [artifact.path for artifact in store.entries() if artifact.kind == "plots"]


def without_drawing(run, out, store):
    """As ``shown``, in a process that ends badly where matplotlib is asked for."""
    code = f"""
import sys
sys.modules["matplotlib"] = None
from pathlib import Path
from franken.cli.show import show_report
from franken.store import Store
show_report([Path({str(run)!r})], Path({str(out)!r}), "demo", command="",
            store=Store(Path({str(store.root)!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in sorted((out / "report").glob("*.png"))}


def test_a_report_in_another_place_has_the_same_plots_without_matplotlib(full_run, store, tmp_path):
    first = shown(full_run, tmp_path / "monday", store)
    assert len(first) == 3
    info = json.loads((full_run / "run.json").read_text())
    info["steps"][1] |= {"cached": True, "seconds": 0.0}
    info |= {"command": "python -m franken +experiment=demo store.path=/there", "config": {}}
    elsewhere = tmp_path / "elsewhere" / "tuesday"
    shutil.copytree(full_run, elsewhere)
    (elsewhere / "run.json").write_text(json.dumps(info))
    assert without_drawing(elsewhere, elsewhere, store) == first
    pages = [out / "report" / "index.html" for out in (tmp_path / "monday", elsewhere)]
    titles = [page.read_text().count("<img") for page in pages]
    assert titles == [3, 3]


def bits_flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [bits_flipped, Path.unlink, lambda path: path.write_bytes(b"cut off")],
    ids=["bits flipped", "lost", "cut off"],
)
def test_a_damaged_plot_is_drawn_anew(full_run, store, tmp_path, harm):
    first = shown(full_run, tmp_path / "monday", store)
    (place,) = kept(store)
    harm(place / "accuracy_topic.png")
    assert shown(full_run, tmp_path / "tuesday", store) == first
    assert kept(store) == [place]
    assert {path.name: path.read_bytes() for path in place.glob("*.png")} == first


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("results.jsonl", '"value": 0.65', '"value": 0.6'),
        ("curves/tuned/metrics.csv", "20,4.0", "20,3.0"),
    ],
    ids=["score", "curve"],
)
def test_what_changed_is_drawn_anew(full_run, store, tmp_path, file, old, new):
    first = shown(full_run, tmp_path / "monday", store)
    text = (full_run / file).read_text()
    assert old in text
    (full_run / file).write_text(text.replace(old, new))
    second = shown(full_run, tmp_path / "tuesday", store)
    assert second.keys() == first.keys()
    assert second != first
    assert len(kept(store)) == 2


def test_changed_items_of_a_score_are_drawn_anew(full_run, store, tmp_path):
    line = (full_run / "results.jsonl").read_text().splitlines()[0]
    score = json.loads(line)
    own = {name: score[name] for name in ("key", "task", "lang", "metric")}
    for place, above in (("monday", [1.0, 0.0]), ("tuesday", [0.0, 1.0])):
        units = {**own, "ids": ["a", "b"], "above": above}
        (full_run / "units.jsonl").write_text(json.dumps(units))
        shown(full_run, tmp_path / place, store)
    assert len(kept(store)) == 2


def test_another_matplotlib_draws_anew(full_run, store, tmp_path, monkeypatch):
    shown(full_run, tmp_path / "monday", store)
    monkeypatch.setattr("franken.report.drawn.version", lambda name: f"{name} of tomorrow")
    shown(full_run, tmp_path / "tuesday", store)
    assert len(kept(store)) == 2


def test_other_code_draws_anew(full_run, store, tmp_path, monkeypatch):
    shown(full_run, tmp_path / "monday", store)
    shutil.copytree(Path(franken.__file__).parent, tmp_path / "franken")
    with open(tmp_path / "franken" / "report" / "plots.py", "a", encoding="utf-8") as file:
        file.write("# wider bars\n")
    monkeypatch.setattr(franken, "__file__", str(tmp_path / "franken" / "__init__.py"))
    shown(full_run, tmp_path / "tuesday", store)
    assert len(kept(store)) == 2


def test_plots_are_drawn_where_the_store_cannot_be_written(full_run, store, tmp_path, monkeypatch):
    first = shown(full_run, tmp_path / "monday", store)

    def refused(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    other = Store(tmp_path / "another")
    monkeypatch.setattr("franken.store.store.claim_root", refused)
    assert shown(full_run, tmp_path / "tuesday", other) == first
    assert kept(other) == []


def test_code_that_decides_how_plots_look_is_all_in_their_mark():
    """Else a change of it would be seen in new plots alone."""
    package = Path(franken.__file__).parent
    plain = {"errors", "files", "commands"}
    known = {name.removesuffix(".py") for name in CODE}
    for name in CODE:
        for path in package.glob(f"{name}/**/*.py" if (package / name).is_dir() else name):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                module = node.module if isinstance(node, ast.ImportFrom) else None
                if module and module.startswith("franken."):
                    assert module.split(".")[1] in known | plain, f"{path} imports {module}"
