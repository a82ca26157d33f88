"""Transplants from pre-training to scores: grid, search, fixed pair, surgery, culture."""

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from franken.errors import DataError
from franken.files import read_json
from franken.inference.xtransplant.rows import only, read_rows
from franken.run import Runner
from tests.faults import raises

from .conftest import compose_config

SMALL = (
    "recipe=xtransplant", "inference=xtransplant", "inference.max_new_tokens=3",
    "inference.samples=2", "inference.verify=2", "inference.select.mode=overall",
    "vocab.size=1100", "prompts.pilot=2",
)  # fmt: skip
TASKS = (
    "prompts.sets.topic_classification.limit=5", "prompts.sets.arithmetic.limit=4",
    "~prompts.sets.reading_comprehension",
)  # fmt: skip


def finished(
    store: Path, run_dir: Path, *overrides: str, prompts: tuple[str, ...] = TASKS
) -> Runner:
    made = Runner(compose_config(f"store.path={store}", *SMALL, *prompts, *overrides), run_dir)
    made.run()
    return made


def rows_of(runner: Runner, step: str) -> Any:
    return read_rows(runner.artifacts[step].path / "rows.parquet")


@pytest.fixture(scope="module")
def store(shared_store: Path) -> Path:
    return shared_store


@pytest.mark.slow
def test_a_pair_is_chosen_on_the_pilot_and_applied_to_the_rest(store: Path, tmp_path: Path) -> None:
    run = "recipe.run=[grid,apply,sft_apply,franken_grid,franken_apply]"
    runner = finished(store, tmp_path / "run", run)
    grid = rows_of(runner, "grid")
    transplants = only(grid, run="transplant")
    # two pilot samples of two sets in two languages, two layers
    assert transplants.num_rows == 2 * 2 * 2 * 4
    assert only(grid, run="sampled").num_rows == 2 * 2 * 2 * 2
    assert sorted(set(transplants["index"].to_pylist())) == [0, 1]
    chosen = read_json(runner.artifacts["chosen"].path / "pairs.json")
    assert {(entry["set"], entry["lang"]) for entry in chosen} == {
        (name, lang) for name in ("topic_classification", "arithmetic") for lang in ("id", "ka")
    }
    applied = rows_of(runner, "apply")
    for entry in chosen:
        own = only(applied, run="transplant", set=entry["set"], lang=entry["lang"])
        spots = set(zip(own["source"].to_pylist(), own["target"].to_pylist(), strict=True))
        assert spots == {tuple(entry["pair"])}
        assert own.num_rows == (3 if entry["set"] == "topic_classification" else 2)
    assert pc.min(applied["index"]).as_py() == 2
    figures = read_json(runner.artifacts["apply"].path / "summary.json")
    overall = figures["sets"]["topic_classification"]["overall"]["strict"]
    assert (overall["n"], overall["pairs"]) == (6, 1)
    assert figures["engine_check"]["engine"] == "batches"
    records = {(record["model"], record["metric"]) for record in runner.write_results()}
    assert {("instruct rest: vanilla", "acc"), ("instruct rest: pim", "acc"), ("apply", "acc"),
            ("sft_apply", "acc"), ("grid", "upper_bound")} <= records  # fmt: skip
    assert finished(store, tmp_path / "again", run).was_done


@pytest.mark.slow
def test_pairs_from_a_file_and_a_refusal_of_their_own_pilot(store: Path, tmp_path: Path) -> None:
    runner = finished(store, tmp_path / "run", "recipe.run=[apply]")
    path = runner.ensure("chosen").path / "pairs.json"
    given = ("inference.pairs=file", f"inference.pairs_file={path}", "inference.samples=0",
             "recipe.run=[grid]")  # fmt: skip
    filed = finished(store, tmp_path / "file", "recipe.steps.grid.portion=rest", *given)
    assert rows_of(filed, "grid").equals(rows_of(runner, "apply"))
    with raises(DataError, path, "part: rest"):
        finished(store, tmp_path / "pilot", *given)


@pytest.mark.slow
def test_engines_and_controls_of_one_model(store: Path, tmp_path: Path) -> None:
    run = "recipe.run=[grid,self,shuffled,noise]"
    fast = finished(store, tmp_path / "wavefront", run)
    slow = finished(store, tmp_path / "naive", run, "inference.engine=naive")
    left = ["margin", "unstable"]
    for step in ("grid", "self", "shuffled", "noise"):
        own = only(rows_of(fast, step), run="transplant")
        assert own.drop_columns(left).equals(
            only(rows_of(slow, step), run="transplant").drop_columns(left)
        )
    tokens = {step: str(rows_of(fast, step)["tokens"].to_pylist()) for step in ("self", "noise")}
    assert tokens["self"] != tokens["noise"]


@pytest.mark.slow
def test_culture_is_asked_in_the_source_language(store: Path, tmp_path: Path) -> None:
    runner = finished(
        store, tmp_path / "run", "inference.direction=x2en", "recipe.run=[grid]",
        prompts=("prompts=microworld_culture",),
    )  # fmt: skip
    table = only(rows_of(runner, "grid"), run="transplant")
    assert set(table["lang"].to_pylist()) == {"id", "ka"}
    assert table.num_rows == 2 * 2 * 4
