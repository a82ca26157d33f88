"""The step that assembles: what stays of a Hydra LLM, and what a new table may claim."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from franken.composition.hydra import HydraComposition
from franken.config.root import Config
from franken.errors import CompatibilityError
from franken.files import read_json, write_json
from franken.recipe_hydra import hydra_faults, tables_of
from franken.steps.base import Step
from franken.steps.hydra import HydraStep
from franken.steps.load import LoadStep
from tests.faults import raises, unnamed

from .hydras import LINEAGE


def artifact(directory: Path, **own: Any) -> Any:
    directory.mkdir()
    places = {"body": ["here", "", "body"], "table": ["here", "", "table"], "deltas": []}
    write_json(directory / "model.json", {**places, "lineage": LINEAGE, "fingerprint": "f", **own})
    return SimpleNamespace(path=directory, kind="load_hydra", key=directory.name)


def old(folder: Path) -> Any:
    """One table for Latin text and English."""
    return artifact(
        folder / "old", tables={"source": ["here", "", "tables/source"]},
        routing={"languages": {"en": "source"}, "scripts": {"source": ["Latin"]}, "default": None},
    )  # fmt: skip


def add(folder: Path, body: Any, name: str, **routing: Any) -> Any:
    """The Hydra LLM with one more table, made by a step that lies in ``folder/name``."""
    made = artifact(folder / f"made_{name}")
    target = folder / name
    target.mkdir()
    context = SimpleNamespace(
        inputs={"body": body, "tables.added": made}, name="hydra", directory=target, references=[]
    )
    step = HydraStep(
        body="loaded", keep=True, tables={"added": "adapted"}, names={"added": name},
        composition=HydraComposition(**{"languages": {}, "default": None, **routing}),
    )  # fmt: skip
    assert list(step.faults()) == []
    step.run(context)  # type: ignore[arg-type]
    return SimpleNamespace(path=target, kind="hydra", key=name)


def test_languages_join_one_after_the_other(tmp_path: Path) -> None:
    first = add(tmp_path, old(tmp_path), "tr", languages={"az": "tr"})
    second = add(tmp_path, first, "ka", scripts={"ka": ["Georgian"]})
    found = read_json(second.path / "model.json")
    assert found["tables"] == {
        "source": ["load_hydra", "old", "tables/source"],
        "tr": ["load_hydra", "made_tr", "table"],
        "ka": ["load_hydra", "made_ka", "table"],
    }
    assert found["routing"] == {
        "languages": {"en": "source", "az": "tr"},
        "scripts": {"source": ["Latin"], "ka": ["Georgian"]},
        "default": None,
    }


@pytest.mark.parametrize(
    ("name", "routing", "names"),
    [
        ("source", {}, ["'source'", "recipe.steps.hydra.names.added"]),
        ("tr", {"languages": {"en": "tr"}}, ["'en'", "'source'", "composition.languages"]),
        ("tr", {"scripts": {"tr": ["Latin"]}}, ["'Latin'", "'source'", "composition.scripts"]),
        ("en", {}, ["'en'", "'source'"]),
    ],
)
def test_what_stays_is_never_replaced(
    name: str, routing: dict[str, Any], names: list[str], tmp_path: Path
) -> None:
    with raises(CompatibilityError, *names):
        add(tmp_path, old(tmp_path), name, **routing)


def test_names_that_fit_no_table_are_faults() -> None:
    step = HydraStep(
        body="base", tables={"a": "base", "b": "base"}, names={"c": "x"},
        composition=HydraComposition(languages={}, default=None),
    )  # fmt: skip
    assert [key for key, _ in step.faults()] == ["names.c"]
    step.names = {"a": "b"}
    ((key, message),) = step.faults()
    assert (key, unnamed(message, "'b'")) == ("names", [])


def test_a_name_that_is_known_to_stay_is_a_fault_before_any_work() -> None:
    steps: dict[str, Step] = {
        "base": LoadStep(),
        "first": HydraStep(body="base", tables={"en": "base"}),
        "second": HydraStep(body="first", keep=True, tables={"new": "base"}, names={"new": "en"}),
    }
    ((key, message),) = hydra_faults(steps, [], Config())
    assert key == "recipe.steps.second.tables.new"
    assert not unnamed(message, "'first'", "'en'")
    steps["second"] = HydraStep(body="first", keep=True, tables={"new": "base"})
    assert list(hydra_faults(steps, [], Config())) == []
    assert tables_of(steps, "second") == {"en", "new"}
