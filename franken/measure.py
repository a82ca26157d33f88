"""Wall time and peak memory of a piece of work."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Measured:
    """Filled in when the work is done."""

    seconds: float = 0.0
    peak_bytes: int | None = None
    """Resident memory above what was in use at the start; ``None`` where the system cannot tell
    (Linux can)."""


@contextmanager
def measured() -> Iterator[Measured]:
    """Time and memory of the block under ``with``, known when it is left."""
    cost = Measured()
    resident = _reset_peak()
    started = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - started
        peak = _status_bytes("VmHWM")
        if resident is not None and peak is not None:
            cost.peak_bytes = max(0, peak - resident)


def _reset_peak() -> int | None:
    """Set the peak back to the present; returns the memory resident now."""
    try:
        _RESET.write_text("5")
    except OSError:
        return None
    return _status_bytes("VmRSS")


def _status_bytes(name: str) -> int | None:
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None
