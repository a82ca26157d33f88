"""Four processes on one grid, two of them killed: every job and every shared step is done once."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from franken.cli import taking
from franken.cli.status import FAILED, FINISHED
from franken.cli.taking import jobs_at_work, take_jobs
from franken.files import read_json, write_json

JOBS, SHARED = 12, 3
WORKER = """
import os, sys, time
from pathlib import Path
from franken.cli import taking
from franken.files import write_json
from franken.store import StepKey, Store

taking.POLL_SECONDS = 0.02
grid, store = Path(sys.argv[1]) / "grid", Store(Path(sys.argv[1]) / "store")

def note(name, what):
    with open(Path(sys.argv[1]) / name, "a") as log:
        log.write(f"{what}\\n")

def make(kind, number, inputs):
    def build(directory):
        time.sleep(0.05)
        total = sum(int((Path(place) / "value").read_text()) for place in inputs)
        (directory / "value").write_text(str(total + number * number))
        note("built", f"{kind}{number}")
    return store.produce(StepKey.of(kind, 1, config={"number": number}), build).path

def run(job):
    shared = make("shared", job % 3, [])
    value = (make("own", job, [shared]) / "value").read_text()
    write_json(grid / str(job) / "status.json", {"status": "finished", "value": value})
    note("done", job)

print("ready", flush=True)
taking.take_jobs(range(12), grid, run)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    (folder / "grid").mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder)], stdout=subprocess.PIPE, text=True
    )


def values(folder: Path) -> list[str]:
    return [read_json(folder / "grid" / str(n) / "status.json")["value"] for n in range(JOBS)]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_of_four_processes_two_are_killed_and_every_job_is_done_once(tmp_path):
    workers = [start(tmp_path) for _ in range(4)]
    for worker in workers:
        worker.stdout.readline()
    moments = sorted(random.sample(range(8), 2))
    for worker, moment in zip(workers[:2], moments, strict=True):
        while len(lines(tmp_path / "done")) < moment:
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.05))
        os.kill(worker.pid, signal.SIGKILL)
    for worker in workers:
        worker.wait(60)
        worker.stdout.close()
    assert [worker.returncode for worker in workers[2:]] == [0, 0], f"killed at {moments}"

    done, built = Counter(lines(tmp_path / "done")), Counter(lines(tmp_path / "built"))
    assert max(done.values()) == 1, f"killed at {moments}"
    assert sum(done.values()) >= JOBS - 2  # a kill may come between the status and the line
    # what was built when its builder was killed before it was published is built again
    assert set(built) == {f"own{n}" for n in range(JOBS)} | {f"shared{n}" for n in range(SHARED)}
    assert sum(built.values()) <= JOBS + SHARED + 2
    assert len(list((tmp_path / "store").glob("*/*/manifest.json"))) == JOBS + SHARED

    alone = start(tmp_path / "alone")
    assert alone.wait(60) == 0
    alone.stdout.close()
    assert values(tmp_path) == values(tmp_path / "alone")


def settle(directory: Path, job: int, status: str) -> None:
    write_json(directory / str(job) / "status.json", {"status": status})


def test_a_job_that_fails_is_tried_again_by_later_commands_only_and_not_for_ever(tmp_path):
    tried: list[int] = []

    def fail(job: int) -> None:
        tried.append(job)
        settle(tmp_path, job, FAILED)

    for _ in range(5):
        take_jobs([0], tmp_path, fail, attempts=3)
        past = time.time() - 10  # as if the next command began later
        os.utime(tmp_path / "0" / "status.json", (past, past))
    assert len(tried) == 3


def test_what_a_killed_process_left_of_a_job_is_cleared_away(tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "half").touch()

    def run(job: int) -> None:
        assert not (tmp_path / "0").exists()
        settle(tmp_path, job, FINISHED)

    assert take_jobs([0], tmp_path, run) == [0]
    assert take_jobs([0], tmp_path, run) == []


def test_one_who_does_not_wait_leaves_when_the_rest_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(taking, "POLL_SECONDS", 0.0)
    seen = []

    def outer(job: int) -> None:
        if not seen:
            seen.append(take_jobs([0, 1], tmp_path, lambda n: settle(tmp_path, n, FINISHED),
                                  wait=False))  # fmt: skip
            assert jobs_at_work(tmp_path) == 1
        settle(tmp_path, job, FINISHED)

    assert take_jobs([0, 1], tmp_path, outer) == [0]
    assert seen == [[1]]


@pytest.mark.parametrize(("until", "most_looks"), [(0.2, 25), (300.0, 500)])
def test_the_end_of_a_short_wait_is_seen_soon_and_a_long_one_looks_seldom(
    tmp_path, monkeypatch, until, most_looks
):
    other = taking.KeyLock(tmp_path / taking.FOLDER / "0.lock", {})
    other.acquire(wait=False)
    pauses = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if sum(pauses) >= until:
            settle(tmp_path, 0, FINISHED)

    monkeypatch.setattr(taking.time, "sleep", sleep)
    assert take_jobs([0], tmp_path, lambda _: None) == []
    assert sum(pauses) <= until + max(0.05 * until, 0.02)
    assert max(pauses) <= taking.POLL_SECONDS
    assert len(pauses) <= most_looks
    other.release()


@pytest.mark.parametrize("content", ["", "{}", "[]"])
def test_a_status_that_cannot_be_read_is_none(tmp_path, content):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "status.json").write_text(content)
    ran = take_jobs([0], tmp_path, lambda n: settle(tmp_path, n, FINISHED))
    assert ran == [0]
    assert json.loads((tmp_path / "0" / "status.json").read_text())["status"] == FINISHED
