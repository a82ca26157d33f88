"""sha256 of files, computed once per process while a file stays as it was."""

import os
import time
from pathlib import Path

from franken.files import sha256_file

SETTLED_NS = 100_000_000
"""Time stamps are coarse: a file written less than this long ago may be written again unseen."""

_known: dict[tuple[int, int, int, int], str] = {}


def sha256_once(path: Path) -> str:
    """Hex sha256 of a file, followed through symlinks.

    Remembered by device, inode, size and modification time, so that a file that several artefacts
    link to is read once per process; a file too young for its time stamp to tell a later change
    is read again.
    """
    status = os.stat(path)
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if identity not in _known:
        started = time.time_ns()
        digest = sha256_file(path)
        if started - status.st_mtime_ns < SETTLED_NS:
            return digest
        _known[identity] = digest
    return _known[identity]
