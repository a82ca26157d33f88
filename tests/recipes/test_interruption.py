"""Killed at any point and run again: the same bytes as an undisturbed run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from franken.files import sha256_file
from franken.interruption import EXIT_CODE

from .conftest import TINY, TINY_MODEL

SLOW_STEPS = [
    *TINY_MODEL,
    *TINY,
    "recipe.evaluate=[adapted]",
    "eval_suite=smoke",
    "data.languages=[ka]",
    "training.pretraining.steps=40",
    "training.adaptation.steps=40",
]


def start(cwd: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "franken", *SLOW_STEPS, "store.path=store", *more]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out[-2000:] + err[-4000:]
    return out


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


def kill_when(process: subprocess.Popen[str], condition: object) -> None:
    deadline = time.monotonic() + 240
    while not condition():  # type: ignore[operator]
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < deadline, "the moment to kill never came"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def checkpoints(cwd: Path) -> int:
    return len(list((cwd / "store" / "scratch").glob("*/checkpoints/*")))


@pytest.mark.slow
def test_a_kill_during_training_leaves_no_trace_in_the_weights(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    kill_when(process := start(tmp_path), lambda: checkpoints(tmp_path) >= 1)
    assert process.returncode == -signal.SIGKILL
    assert not list((tmp_path / "store").glob("pretrain/*/manifest.json"))
    finish(start(tmp_path))
    assert weights(tmp_path) == undisturbed


@pytest.mark.slow
def test_a_time_limit_during_training_ends_the_run_with_its_code_and_it_goes_on(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    process = start(tmp_path)
    while checkpoints(tmp_path) < 1:
        assert process.poll() is None, process.communicate()[1][-3000:]
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == EXIT_CODE
    assert "SIGTERM" in said
    finish(start(tmp_path))
    assert weights(tmp_path) == undisturbed


@pytest.mark.slow
def test_a_kill_between_steps_keeps_what_is_done(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    base = tmp_path / "store" / "pretrain"
    kill_when(start(tmp_path), lambda: bool(list(base.glob("*/manifest.json"))))
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
