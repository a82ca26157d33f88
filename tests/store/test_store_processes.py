"""Several builders, and builders that die."""

import logging
import threading

import pytest

from franken.store import StepKey, Store
from franken.store.lock import KeyLock
from tests.faults import unnamed

BUILDER = """
import logging, sys
from pathlib import Path
from franken.store import Store, StepKey

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
store, step = Store(Path(sys.argv[1])), StepKey.of("train", 1, config={"lr": 0.5}, seed=0)

def build(directory):
    with open(sys.argv[2], "a") as log:
        log.write("built\\n")
    (directory / "half").write_text("x")
    (store.scratch(step) / "checkpoint").write_text("step 5")
    print("building", flush=True)
    sys.stdin.readline()
    (directory / "weights").write_text("done")

artifact = store.produce(step, build, label="slow")
print("fresh" if artifact.fresh else "found", flush=True)
"""

DYING = """
import os, signal, sys
from pathlib import Path
import franken.store.store as module
from franken.store import Store, StepKey

def die(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)

name = sys.argv[2]
if name == "rename":
    os.rename = die
elif name == "_drop_scratch":
    Store._drop_scratch = die
else:
    setattr(module, name, die)
store, step = Store(Path(sys.argv[1])), StepKey.of("train", 1, config={"lr": 0.5}, seed=0)

def build(directory):
    (store.scratch(step) / "checkpoint").write_text("step 5")
    (directory / "weights").write_text("done")

store.produce(step, build)
"""

FORKING = """
import os, signal, sys
from pathlib import Path
from franken.store import Store, StepKey

def build(directory):
    if os.fork() == 0:
        print("child lives", flush=True)
        sys.stdin.readline()
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)

Store(Path(sys.argv[1])).produce(StepKey.of("train", 1, config={"lr": 0.5}, seed=0), build)
"""


def test_two_processes_build_one_artefact_once(store, step, tmp_path, builder):
    log = tmp_path / "log"
    first = builder(BUILDER, store.root, log)
    first.read_until("building")
    second = builder(BUILDER, store.root, log)
    waiting = second.read_until("waiting for slow")
    first.say()

    assert "fresh" in first.finish()
    assert "found" in second.finish()
    assert f"pid {first.process.pid}" in waiting
    assert log.read_text() == "built\n"
    assert store.find(step).file("weights").read_text() == "done"


def test_a_killed_builder_is_taken_over_with_its_scratch(store, step, tmp_path, builder, caplog):
    caplog.set_level(logging.INFO)
    dead = builder(BUILDER, store.root, tmp_path / "log")
    dead.read_until("building")
    dead.kill()
    assert list((store.root / "train").glob(".tmp-*"))
    assert store.find(step) is None

    def build(directory):
        assert not list(directory.iterdir())
        assert (store.scratch(step) / "checkpoint").read_text() == "step 5"
        (directory / "weights").write_text("done")

    assert store.produce(step, build, label="slow").fresh
    assert not unnamed(caplog.text, "slow", dead.process.pid)
    assert [path.name for path in (store.root / "train").iterdir()] == [step.key]


def test_a_waiting_process_takes_over_when_the_builder_is_killed(store, tmp_path, builder):
    first = builder(BUILDER, store.root, tmp_path / "log")
    first.read_until("building")
    second = builder(BUILDER, store.root, tmp_path / "log")
    second.read_until("waiting")
    first.kill()
    second.read_until("building")
    second.say()

    assert "fresh" in second.finish()


@pytest.mark.parametrize(
    ("moment", "published"),
    [
        ("sync_below", False),
        ("write_manifest", False),
        ("rename", False),
        ("_drop_scratch", True),
    ],
)
def test_death_at_any_moment_of_publication_leaves_all_or_nothing(
    store, step, builder, publish, moment, published
):
    dead = builder(DYING, store.root, moment)
    dead.process.wait()

    assert (store.find(step) is not None) == published
    assert (store.root / "scratch" / step.key).exists()
    assert publish(step).fresh != published
    assert not list((store.root / "scratch").iterdir())
    assert store.find(step) is not None


def test_a_forked_child_does_not_keep_the_lock_of_a_dead_parent(store, step, builder):
    process = builder(FORKING, store.root)
    process.read_until("child lives")
    process.process.wait()

    lock = KeyLock(store.root / "locks" / f"{step.key}.lock", {})
    assert lock.acquire(wait=False)
    lock.release()


def test_threads_exclude_each_other(store, step):
    waiting, built = threading.Event(), []

    class Listener(logging.Handler):
        def emit(self, record):
            if record.getMessage().startswith("waiting for"):
                waiting.set()

    def build(directory):
        built.append(directory)
        assert waiting.wait(10), "the other thread never waited"

    logger, listener = logging.getLogger("franken.store.lock"), Listener()
    level = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    try:
        threads = [threading.Thread(target=store.produce, args=(step, build)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)

    assert len(built) == 1
    assert store.find(step) is not None


def test_a_lock_file_that_was_unlinked_protects_nothing_and_is_opened_anew(tmp_path):
    path = tmp_path / "key.lock"
    first, second, third = (KeyLock(path, {}) for _ in range(3))
    assert first.acquire()
    path.unlink()

    assert second.acquire(wait=False)
    assert not third.acquire(wait=False)
    first.release()
    assert not third.acquire(wait=False)
    second.remove()
    assert third.acquire(wait=False)
    third.release()


def test_a_lock_file_unlinked_between_opening_and_locking_is_not_taken_for_the_lock(tmp_path):
    path = tmp_path / "key.lock"
    path.touch()
    rival = KeyLock(path, {})

    class Overtaken(KeyLock):
        def _take(self, handle):
            if not overtaken:
                overtaken.append(True)
                path.unlink()
                rival.acquire()
            return super()._take(handle)

    overtaken = []

    assert not Overtaken(path, {}).acquire(wait=False)
    rival.release()


def test_damage_under_a_busy_builder_is_left_to_the_builder(store, step, publish):
    artifact = publish(step)
    (artifact.path / "weights").unlink()
    with KeyLock(store.root / "locks" / f"{step.key}.lock", {}):
        assert store.find(step) is None
        assert artifact.path.exists()


def test_stores_made_at_once_are_one_store(tmp_path):
    roots = [Store(tmp_path / "store") for _ in range(8)]
    steps = [StepKey.of("t", 1, seed=n) for n in range(8)]
    threads = [
        threading.Thread(target=s.produce, args=(k, lambda directory: None))
        for s, k in zip(roots, steps, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(list(roots[0].entries())) == 8
