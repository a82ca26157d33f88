"""Grids: a failing job does not stop the others, and a second run computes only what is missing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from franken.files import read_json
from tests.faults import unnamed

from .conftest import FEW_SCORES

GRID = ["-m", "init_method=subtoken_mean,mean", "recipe.evaluate=[initial]",
        *FEW_SCORES, "data.languages=[ka]", "hydra.sweep.dir=grid",
        "store.path=store"]  # fmt: skip


@pytest.mark.slow
def test_a_grid_goes_on_after_a_failure_and_says_so(tmp_path: Path, franken: Callable) -> None:
    grid = [GRID[0], "base_model.architecture=nonsense,gemma2", *GRID[2:]]
    done = franken(*grid)
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-3000:]
    statuses = [read_json(tmp_path / "grid" / str(n) / "status.json")["status"] for n in (0, 1)]
    assert statuses == ["failed", "finished"]
    assert "nonsense" in (tmp_path / "grid" / "0" / "traceback.txt").read_text()
    assert not (tmp_path / "grid" / "1" / "traceback.txt").exists()
    assert not unnamed(done.stdout, "2 jobs", "1 finished", "1 failed")
    assert (tmp_path / "grid" / "results.jsonl").exists()
    assert (tmp_path / "grid" / "report" / "index.html").exists()


@pytest.mark.slow
def test_a_finished_grid_is_free_the_second_time(tmp_path: Path, franken: Callable) -> None:
    first = franken(*GRID, check=True)
    assert not unnamed(first.stdout, "2 jobs: 2")
    second = franken(*(x.replace("=grid", "=grid2") for x in GRID), check=True)
    assert not unnamed(second.stdout, "2 jobs: 2")
    assert " ..." not in second.stdout  # no step was begun
    assert (tmp_path / "grid" / "results.jsonl").read_text() == (
        tmp_path / "grid2" / "results.jsonl"
    ).read_text()
    for grid in ("grid", "grid2"):  # the second shows how the cached base was trained, too
        curve = (tmp_path / grid / "1" / "curves" / "base" / "metrics.csv").read_text()
        assert "train/loss" in curve.splitlines()[0]
        assert len(curve.splitlines()) > 2


@pytest.mark.slow
def test_an_export_is_a_copy_of_its_own(tmp_path: Path, franken: Callable) -> None:
    franken(
        "recipe.evaluate=[]", "recipe.export=[initial]", "data.languages=[ka]",
        "hydra.run.dir=job", "store.path=store", check=True,
    )  # fmt: skip
    weights = next((tmp_path / "job" / "export" / "initial").glob("*.safetensors"))
    kept = next((tmp_path / "store" / "export").glob("*/model/*.safetensors"))
    assert weights.read_bytes() == kept.read_bytes()
    assert weights.stat().st_ino != kept.stat().st_ino


@pytest.mark.slow
def test_a_task_without_its_data_stops_the_run_before_any_training(
    tmp_path: Path, franken: Callable
) -> None:
    done = franken(
        "eval_suite=smoke", "eval_suite.tasks.topic_classification.source=newspapers",
        "store.path=store",
    )  # fmt: skip
    assert done.returncode == 1
    assert not unnamed(done.stderr, "'newspapers'", "data=microworld")
    assert not list((tmp_path / "store").glob("pretrain/*"))


@pytest.mark.slow
def test_equal_commands_share_out_a_grid_and_one_of_them_sums_it_up(
    tmp_path: Path, franken: Callable
) -> None:
    grid = [x for x in GRID if not x.startswith("hydra.sweep.dir")] + ["sweep.take=free"]
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: franken(*grid, check=True), range(2)))
    begun = [line for done in both for line in done.stdout.splitlines() if line.endswith(" ...")]
    assert begun.count("base: pretrain ...") == begun.count("vocabulary: build_vocab ...") == 1
    assert begun.count("initial: initialise ...") == 2  # one for each job
    (directory,) = (tmp_path / "outputs" / "multirun" / "adhoc").iterdir()
    statuses = [read_json(directory / str(n) / "status.json")["status"] for n in (0, 1)]
    assert set(statuses) <= {"finished", "already done"}
    assert len((directory / "results.jsonl").read_text().splitlines()) > 1
    assert sum("2 jobs:" in done.stdout for done in both) == 1
