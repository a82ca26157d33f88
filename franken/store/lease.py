"""Locks for file systems where ``flock`` fails or holds on one machine only: NFS, Lustre and such.

A lease is a file ``<stem>.lease.<generation>``, made by an atomic link that only one process can
make. The newest generation counts. Its holder rewrites it every few seconds; whoever sees it
released, or silent for long by his own clock, makes the next generation and has the lease. No file
is ever taken away under a name that another may just have made, so two can never both succeed.
"""

import errno
import functools
import json
import logging
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from franken.files import write_atomically

logger = logging.getLogger(__name__)

MARKER = "leases"
"""A file of this name in a directory of locks: all processes use leases there."""
SHARED_TYPES = (
    "nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "afs", "9p", "fuse.sshfs",
    "fuse.glusterfs", "fuse.juicefs", "fuse.s3fs",
)  # fmt: skip
"""File systems of which some mounts have a ``flock`` that other machines do not see."""
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_KEPT = 4
"""Generations left in place, for processes that look at an old listing of the directory."""


class Lease:
    """An exclusive lease that a dead holder loses.

    Args:
        stem: path without ``.lease.<generation>``.
    """

    SILENCE_SECONDS = 120.0
    """How long a holder must be silent before another takes over."""
    BEAT_SECONDS = 15.0

    def __init__(self, stem: Path) -> None:
        self.stem = stem
        self.generation: int | None = None
        self.lost = False
        """Whether another took over, because this process was silent."""
        self._beats = 0
        self._seen: tuple[int, str, float] = (0, "", 0.0)
        self._stop = threading.Event()
        self._token = uuid.uuid4().hex

    def take(self) -> bool:
        """Try once; the silence of a holder is measured from call to call."""
        newest = max(self._generations(), default=0)
        if newest and not self._is_free(newest):
            return False
        if not self._make(newest + 1):
            return False
        if max(self._generations()) != newest + 1:  # the listing was old
            self._path(newest + 1).unlink(missing_ok=True)
            return False
        self.generation, self.lost = newest + 1, False
        for old in self._generations():
            if old <= self.generation - _KEPT:
                self._path(old).unlink(missing_ok=True)
        self._stop = threading.Event()
        thread = threading.Thread(target=self._beat, args=(self._stop,), daemon=True)
        thread.start()
        return True

    def release(self) -> None:
        """Give it back; nothing where it is not held."""
        if self.generation is None:
            return
        self._stop.set()
        if not self.lost:
            self._write(released=True)
        self.generation = None

    def forget(self) -> None:
        """In a forked child: the lease is the parent's."""
        self.generation = None

    def _generations(self) -> list[int]:
        prefix = f"{self.stem.name}.lease."
        names = os.listdir(self.stem.parent) if self.stem.parent.is_dir() else []
        endings = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
        return sorted(int(ending) for ending in endings if ending.isdigit())

    def _path(self, generation: int) -> Path:
        return self.stem.with_name(f"{self.stem.name}.lease.{generation}")

    def _is_free(self, generation: int) -> bool:
        try:
            text = self._path(generation).read_text()  # opening it asks the server, a stat may not
            found = json.loads(text)
        except FileNotFoundError:
            return False
        except ValueError:
            text, found = "unreadable", {}
        if found.get("released") or _is_dead(found):
            return True
        now = time.monotonic()
        if self._seen[:2] != (generation, text):
            self._seen = (generation, text, now)
        return now - self._seen[2] >= self.SILENCE_SECONDS

    def _make(self, generation: int) -> bool:
        target = self._path(generation)
        draft = self.stem.with_name(f".{self.stem.name}.{self._token}.draft")
        write_atomically(draft, self._content(released=False))
        try:
            try:
                os.link(draft, target)
            except FileExistsError:
                return draft.stat().st_nlink == 2  # the first reply of the server may be lost
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return self._make_without_links(target)
            return True
        finally:
            draft.unlink(missing_ok=True)

    def _make_without_links(self, target: Path) -> bool:
        try:
            handle = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        with os.fdopen(handle, "wb") as file:
            file.write(self._content(released=False))
        return True

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(self.BEAT_SECONDS):
            try:
                if max(self._generations(), default=0) != self.generation:
                    self.lost = self.generation is not None
                    return
                self._beats += 1
                self._write(released=False)
            except OSError as error:  # a server that is away for a while; silence is what counts
                logger.debug("lease %s not renewed: %s", self.stem, error)

    def _write(self, *, released: bool) -> None:
        if self.generation is not None:
            write_atomically(self._path(self.generation), self._content(released=released))

    def _content(self, *, released: bool) -> bytes:
        note = {
            "token": self._token, "beat": self._beats, "released": released,
            "machine": machine(), "pid": os.getpid(), "started": _started(os.getpid()),
        }  # fmt: skip
        return json.dumps(note).encode()


@functools.cache
def machine() -> str:
    """What tells machines, their boots and their containers apart."""
    parts = [socket.gethostname()]
    for read in (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        lambda: os.readlink("/proc/self/ns/pid"),
    ):
        try:
            parts.append(read())
        except OSError:
            parts.append("")
    return " ".join(parts)


def _started(pid: int) -> str | None:
    """When a process of this machine began, in ticks since the boot; ``None``: no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return None


def _is_dead(found: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    if found.get("machine") != machine() or not Path("/proc/self/stat").exists():
        return False
    return _started(int(found.get("pid", 0))) != found.get("started")


def use_leases(directory: Path) -> bool:
    """Whether the locks of a directory are leases: by its marker, or by the file system's type."""
    if (directory / MARKER).exists():
        return True
    if file_system(directory) in SHARED_TYPES:
        choose_leases(directory)
        return True
    return False


def choose_leases(directory: Path) -> None:
    """From now on all processes use leases in a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARKER).touch()


def file_system(directory: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Type of the file system that a directory is on; empty where that cannot be known."""
    place = directory.resolve()
    best, kind = -1, ""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = Path(fields[4].replace("\\040", " "))
        if place.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split()[0]
    return kind
