"""One builder per key: a lock that its holder loses when it dies.

The kernel's ``flock``, and on file systems where that does not hold between machines, a lease.
"""

import errno
import fcntl
import json
import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from franken.errors import ArtifactError
from franken.processes import patiently
from franken.store.lease import Lease, choose_leases, use_leases

logger = logging.getLogger(__name__)

_UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}


class KeyLock:
    """An exclusive ``flock`` on ``<root>/locks/<key>.lock``, or a lease beside that file.

    Holds between processes and between threads, since each ``KeyLock`` opens the file anew. The
    file tells who holds it, for messages only; that it exists means nothing. Not reentrant.

    Args:
        path: the lock file.
        note: what the holder works on (``label``, ``inputs``), readable by others.
    """

    POLL_SECONDS = 0.5

    def __init__(self, path: Path, note: Mapping[str, Any]) -> None:
        self.path = path
        self.note = dict(note)
        self._handle: int | None = None
        self._lease: Lease | None = None
        self._asking: Lease | None = None
        """Of earlier calls without success: it knows since when the holder is silent."""

    def acquire(self, *, wait: bool = True) -> bool:
        """Take the lock; with ``wait=False`` return False where another holds it.

        Raises:
            ArtifactError: where this very thread holds it.
        """
        if not use_leases(self.path.parent):
            try:
                return self._acquire(wait=wait)
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
                logger.info("%s has no flock (%s); using leases", self.path.parent, error.strerror)
                choose_leases(self.path.parent)
        return self._acquire_lease(wait=wait)

    def _acquire(self, *, wait: bool) -> bool:
        told = False
        while True:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                if not self._take(handle):
                    if not wait:
                        os.close(handle)
                        return False
                    line = self._tell(again=told)
                    told = True
                    with patiently(line):
                        fcntl.flock(handle, fcntl.LOCK_EX)
                if self._is_current(handle):  # else it was unlinked while we waited
                    self._write_note(handle)
                    self._handle = handle
                    _held.add(self)
                    return True
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)

    def _acquire_lease(self, *, wait: bool) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lease = self._asking = self._asking or Lease(self.path.with_suffix(""))
        if not lease.take():
            if not wait:
                return False
            with patiently(self._tell()):
                while not lease.take():
                    time.sleep(self.POLL_SECONDS)
        self._lease, self._asking = lease, None
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._write_note(handle)
        finally:
            os.close(handle)
        _held.add(self)
        return True

    def confirm(self) -> None:
        """Make sure that the lock is still ours.

        Raises:
            ArtifactError: where another process took it, because this one showed no life.
        """
        if self._lease is not None and self._lease.lost:
            raise ArtifactError(
                f"another process took over {self.note.get('label') or self.path.stem}: this one "
                f"was silent for {self._lease.SILENCE_SECONDS:.0f} s (stopped, or its file system "
                "away). Nothing is lost; run the same command again to use what the other made"
            )

    def _take(self, handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _tell(self, *, again: bool = False) -> str:
        """For whom we wait; said once in the log, and later on the console."""
        holder = read_note(self.path)
        me = (os.getpid(), socket.gethostname(), threading.get_ident())
        if (holder.get("pid"), holder.get("host"), holder.get("thread")) == me:
            raise ArtifactError(
                f"building {self.note.get('label')!r} asks for its own result: a step is among its "
                "own inputs. Check the recipe for a circle."
            )
        line = (
            f"waiting for {holder.get('label') or self.note.get('label') or self.path.stem}, which "
            f"another process builds (pid {holder.get('pid', 'unknown')} on "
            f"{holder.get('host', 'unknown')}, since {holder.get('since', 'just now')})"
        )
        if not again:
            logger.info("%s", line)
        return line

    def _is_current(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _write_note(self, handle: int) -> None:
        left = read_note(self.path)
        if left:
            logger.info(
                "taking over %s from pid %s on %s, which ended without finishing",
                self.note.get("label") or self.path.stem,
                left.get("pid"),
                left.get("host"),
            )
        note = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "thread": threading.get_ident(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            **self.note,
        }
        self._rewrite(handle, json.dumps(note).encode())

    @staticmethod
    def _rewrite(handle: int, payload: bytes) -> None:
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, payload, 0)
        except OSError as error:  # the note serves messages; a full disk is found where it matters
            logger.debug("lock note not written: %s", error)

    def release(self) -> None:
        """Give the lock back; nothing where it is not held."""
        if self._lease is not None:
            self._release_lease()
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        _held.discard(self)
        self._rewrite(handle, b"")
        os.close(handle)

    def _release_lease(self) -> None:
        lease, self._lease = self._lease, None
        assert lease is not None
        _held.discard(self)
        if not lease.lost and self.path.exists():
            with suppress(OSError):
                os.truncate(self.path, 0)
        lease.release()

    def remove(self) -> None:
        """Unlink the file of a lock that is held, then give it back; waiters open a new one."""
        self.path.unlink(missing_ok=True)
        self.release()

    def forget(self) -> None:
        """In a forked child: close our copy, so that the lock dies with the parent."""
        if self._lease is not None:
            self._lease.forget()
            self._lease = None
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> "KeyLock":
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


_held: "weakref.WeakSet[KeyLock]" = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()
    _held.clear()


os.register_at_fork(after_in_child=_forget_all)


def read_note(path: Path) -> dict[str, Any]:
    """What the holder of a lock wrote, or nothing where nobody holds it or it was cut off."""
    try:
        note = json.loads(path.read_bytes() or b"{}")
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}
