"""Locks where flock fails: one builder, takeover from the dead, and nobody holds with another."""

import errno
import fcntl
import json
import threading
from pathlib import Path

import pytest

from franken.errors import ArtifactError
from franken.store.lease import MARKER, Lease, choose_leases, file_system
from franken.store.lock import KeyLock
from tests.faults import raises

from .test_store_processes import BUILDER

WITHOUT_FLOCK = """
import errno, fcntl
def flock(*_):
    raise OSError(errno.ENOLCK, "no locks available")
fcntl.flock = flock
"""


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_where_flock_fails_one_of_two_processes_builds(store, tmp_path, builder):
    log = tmp_path / "log"
    first = builder(WITHOUT_FLOCK + BUILDER, store.root, log)
    first.read_until("building")
    second = builder(WITHOUT_FLOCK + BUILDER, store.root, log)
    waiting = second.read_until("waiting for slow")
    first.say()

    assert "fresh" in first.finish()
    assert "found" in second.finish()
    assert f"pid {first.process.pid}" in waiting
    assert log.read_text() == "built\n"
    assert (store.root / "locks" / MARKER).exists()


def test_where_flock_fails_a_killed_builder_is_taken_over_at_once(
    store, step, tmp_path, builder, no_flock
):
    dead = builder(WITHOUT_FLOCK + BUILDER, store.root, tmp_path / "log")
    dead.read_until("building")
    assert not KeyLock(store.root / "locks" / f"{step.key}.lock", {}).acquire(wait=False)
    dead.kill()

    def build(directory: Path) -> None:
        assert (store.scratch(step) / "checkpoint").read_text() == "step 5"
        (directory / "weights").write_text("done")

    assert store.produce(step, build, label="slow").fresh


def test_those_who_have_flock_follow_those_who_have_not(store, step, tmp_path, builder):
    held = builder(WITHOUT_FLOCK + BUILDER, store.root, tmp_path / "log")
    held.read_until("building")
    assert not KeyLock(store.root / "locks" / f"{step.key}.lock", {}).acquire(wait=False)


def abroad(lease: Lease) -> None:
    """Make the holder a process of another machine, whose life only its heartbeat shows."""
    path = lease._path(lease.generation or 0)
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "elsewhere"}))


def test_a_holder_elsewhere_is_taken_over_after_silence_and_may_not_publish(tmp_path, monkeypatch):
    monkeypatch.setattr(Lease, "SILENCE_SECONDS", 0.0)
    choose_leases(tmp_path)
    first, second = KeyLock(tmp_path / "key.lock", {}), Lease(tmp_path / "key")
    monkeypatch.setattr(Lease, "BEAT_SECONDS", 0.01)
    assert first.acquire()
    first.confirm()
    abroad(first._lease)
    assert second.take()
    for _ in range(500):
        if first._lease.lost:
            break
        threading.Event().wait(0.01)
    with raises(ArtifactError, "key"):
        first.confirm()
    first.release()
    monkeypatch.undo()
    assert not Lease(tmp_path / "key").take()  # the second still holds


def test_a_holder_elsewhere_that_beats_keeps_its_lease(tmp_path, monkeypatch):
    monkeypatch.setattr(Lease, "SILENCE_SECONDS", 1e-9)
    holder, other = Lease(tmp_path / "key"), Lease(tmp_path / "key")
    assert holder.take()
    for beat in range(3):
        abroad(holder)
        path = holder._path(1)
        path.write_text(json.dumps({**json.loads(path.read_text()), "beat": beat}))
        assert other.take() is False
    assert other.take()  # silent since it was looked at


def test_released_leases_leave_few_files(tmp_path):
    for _ in range(20):
        lease = Lease(tmp_path / "key")
        assert lease.take()
        lease.release()
    assert len(list(tmp_path.iterdir())) <= 4


def test_of_many_at_once_one_has_it(tmp_path):
    inside, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            lease = Lease(tmp_path / "key")
            while not lease.take():
                pass
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1
            lease.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_the_deepest_mount_counts(tmp_path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw,relatime - ext4 /dev/root rw\n"
        f"36 22 0:50 / {tmp_path}/my\\040data rw shared:1 - nfs4 server:/x rw\n"
    )
    assert file_system(tmp_path / "my data" / "store" / "locks", mounts) == "nfs4"
    assert file_system(tmp_path / "elsewhere", mounts) == "ext4"


def test_the_console_hears_for_whom_one_waits(store, step, tmp_path, builder, monkeypatch, caplog):
    monkeypatch.setattr("franken.processes.PATIENCE_SECONDS", 0.05)
    first = builder(BUILDER, store.root, tmp_path / "log")
    first.read_until("building")
    waiting = threading.Thread(target=store.produce, args=(step, lambda directory: None))
    waiting.start()
    for _ in range(500):
        said = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
        if said:
            break
        threading.Event().wait(0.01)
    first.say()
    waiting.join()
    assert any(f"pid {first.process.pid}" in line for line in said)
