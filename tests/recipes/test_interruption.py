"""Killed at any point and run again: the same bytes as an undisturbed run."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from franken.files import sha256_file
from franken.interruption import EXIT_CODE
from tests.forking import Franken

from .conftest import FEW_SCORES, TINY, TINY_MODEL

SLOW_STEPS = [
    *TINY_MODEL,
    *TINY,
    "recipe.evaluate=[adapted]",
    *FEW_SCORES,
    "data.languages=[ka]",
    "training.pretraining.steps=40",
]


def start(cwd: Path) -> Franken:
    return Franken([*SLOW_STEPS, "store.path=store"], cwd)


def finish(process: Franken) -> str:
    return process.done(check=True).stdout


def weights(cwd: Path) -> dict[str, str]:
    """Hash of every weight file in the store, by place."""
    root = cwd / "store"
    files = [p for kind in ("pretrain", "train") for p in (root / kind).rglob("*.safetensors")]
    return {str(path.relative_to(root)): sha256_file(path) for path in files}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cwd = tmp_path_factory.mktemp("undisturbed")
    finish(start(cwd))
    return weights(cwd)


def wait_for(process: Franken, moment: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not moment():
        assert not process.ended(), process.done(check=True)
        assert time.monotonic() < deadline, "the moment never came"
        time.sleep(0.02)


def checkpoints(cwd: Path) -> int:
    return len(list((cwd / "store" / "scratch").glob("*/checkpoints/*")))


@pytest.mark.slow
def test_a_kill_during_training_leaves_no_trace_in_the_weights(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    process = start(tmp_path)
    wait_for(process, lambda: checkpoints(tmp_path) >= 1)
    process.send(signal.SIGKILL)
    assert process.done().returncode == -signal.SIGKILL
    assert not list((tmp_path / "store").glob("pretrain/[!.]*/manifest.json"))
    finish(start(tmp_path))
    assert weights(tmp_path) == undisturbed


@pytest.mark.slow
def test_a_time_limit_during_training_ends_the_run_with_its_code_and_it_goes_on(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    process = start(tmp_path)
    wait_for(process, lambda: checkpoints(tmp_path) >= 1)
    process.send(signal.SIGTERM)
    done = process.done()
    assert done.returncode == EXIT_CODE
    assert "SIGTERM" in done.stderr
    finish(start(tmp_path))
    assert weights(tmp_path) == undisturbed


@pytest.mark.slow
def test_a_kill_between_steps_keeps_what_is_done(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    base = tmp_path / "store" / "pretrain"
    process = start(tmp_path)
    wait_for(process, lambda: bool(list(base.glob("[!.]*/manifest.json"))))
    process.send(signal.SIGKILL)
    assert process.done().returncode == -signal.SIGKILL
    out = finish(start(tmp_path))
    assert weights(tmp_path) == undisturbed
    assert "base: pretrain ..." not in out


@pytest.mark.slow
def test_two_processes_on_one_store_make_each_step_once(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    both = [start(tmp_path), start(tmp_path)]
    outputs = [finish(process) for process in both]
    assert weights(tmp_path) == undisturbed
    begun = [line for out in outputs for line in out.splitlines() if line.endswith(" ...")]
    assert len(begun) == len(set(begun))
