"""What was scored so far, kept as it comes: an append-only file that a rerun goes on from.

A line holds a request's key, its result and a checksum of both. A line that was cut off or damaged
is left out, and its request is scored again.
"""

import base64
import hashlib
import json
import logging
import os
import time
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

log = logging.getLogger(__name__)

SYNC_EVERY = 2.0
"""Seconds between two orders to the system to write to the disk: what a power cut costs."""


class Journal:
    """Results by key; on disk where there is a path, else for this run alone."""

    def __init__(self, path: Path | None = None) -> None:
        """Read what is there.

        Args:
            path: the file; made when the first result comes.
        """
        self.path = path
        self.found: dict[str, Any] = {}
        self._file: BinaryIO | None = None
        self._synced = 0.0
        if path is not None and path.is_file():
            self._read(path)

    def _read(self, path: Path) -> None:
        damaged = 0
        for line in path.read_bytes().split(b"\n"):
            if not line:
                continue
            try:
                key, value, check = json.loads(line)
                sound = check == _checksum(key, value)
            except (ValueError, TypeError):
                sound = False
            if sound:
                self.found[key] = value
            else:
                damaged += 1
        if self.found:
            log.info("%d results of an earlier run are kept (%s)", len(self.found), path)
        if damaged:
            log.warning("%s: %d damaged lines are scored again", path, damaged)

    def add(self, results: Iterable[tuple[str, Any]]) -> None:
        """Keep results; they are on disk when this returns, but for the system's own buffers."""
        if self.path is None:
            return
        lines = [
            json.dumps([key, value, _checksum(key, value)], ensure_ascii=True).encode() + b"\n"
            for key, value in results
        ]
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "ab")  # noqa: SIM115 - closed by close()
            self._file.write(b"\n")  # a line that was cut off ends here
        self._file.write(b"".join(lines))
        self._file.flush()
        if time.monotonic() - self._synced > SYNC_EVERY:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _checksum(key: str, value: Any) -> int:
    return zlib.crc32(json.dumps([key, value], ensure_ascii=True).encode())


def key_of(*names: object, ids: Sequence[int]) -> str:
    """A name for one request: what is asked, and the ids that are read."""
    digest = hashlib.sha256(json.dumps([str(name) for name in names]).encode())
    digest.update(np.asarray(ids, dtype=np.int64).tobytes())
    return digest.hexdigest()[:32]


def as_text(values: Tensor) -> str:
    """Float32 numbers as text, bit for bit."""
    return base64.b64encode(values.numpy().astype("<f4").tobytes()).decode()


def as_values(text: str) -> Tensor:
    """The inverse of ``as_text``."""
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype="<f4").copy())
