"""One builder per key: a lock that the kernel frees when its holder dies."""

import errno
import fcntl
import json
import logging
import os
import socket
import threading
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from franken.errors import ArtifactError

logger = logging.getLogger(__name__)

_UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}


class KeyLock:
    """An exclusive ``flock`` on ``<root>/locks/<key>.lock``.

    Holds between processes and between threads, since each ``KeyLock`` opens the file anew. The
    file tells who holds it, for messages only; that it exists means nothing. Not reentrant.

    Args:
        path: the lock file.
        note: what the holder works on (``label``, ``inputs``), readable by others.
    """

    def __init__(self, path: Path, note: Mapping[str, Any]) -> None:
        self.path = path
        self.note = dict(note)
        self._handle: int | None = None

    def acquire(self, *, wait: bool = True) -> bool:
        """Take the lock; with ``wait=False`` return False where another holds it.

        Raises:
            ArtifactError: where this very thread holds it, or the file system has no locks.
        """
        told = False
        while True:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                if not self._take(handle):
                    if not wait:
                        os.close(handle)
                        return False
                    told = told or self._tell()
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

    def _take(self, handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            raise ArtifactError(
                f"{self.path}: this file system has no locks ({error.strerror}), so two processes "
                "could build one artefact at once. Put the store on a local disk (store.path=...)."
            ) from error
        return True

    def _tell(self) -> bool:
        """Say once for whom we wait."""
        holder = read_note(self.path)
        me = (os.getpid(), socket.gethostname(), threading.get_ident())
        if (holder.get("pid"), holder.get("host"), holder.get("thread")) == me:
            raise ArtifactError(
                f"building {self.note.get('label')!r} asks for its own result: a step is among its "
                "own inputs. Check the recipe for a circle."
            )
        logger.info(
            "waiting for %s, which another process builds (pid %s on %s, since %s)",
            holder.get("label") or self.note.get("label") or self.path.stem,
            holder.get("pid", "unknown"),
            holder.get("host", "unknown"),
            holder.get("since", "just now"),
        )
        return True

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
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        _held.discard(self)
        self._rewrite(handle, b"")
        os.close(handle)

    def remove(self) -> None:
        """Unlink the file of a lock that is held, then give it back; waiters open a new one."""
        self.path.unlink(missing_ok=True)
        self.release()

    def forget(self) -> None:
        """In a forked child: close our copy, so that the lock dies with the parent."""
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
