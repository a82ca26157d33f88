"""Wall time, processor time and peak memory of a command, with the processes that it starts."""

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class FailedError(Exception):
    """A side ended with an error."""


@dataclass(frozen=True)
class Cost:
    wall: float
    processor: float
    """User and system seconds of the process and of those that it waited for."""
    peak_bytes: int
    """Largest resident set of any one of them."""


def run(command: list[str], log: Path, environment: Mapping[str, str]) -> Cost:
    """Run a command to its end.

    Raises:
        FailedError: with the last lines of what it printed.
    """
    started = time.perf_counter()
    with open(log, "wb") as handle:
        process = subprocess.Popen(
            command, stdout=handle, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = log.read_text("utf-8", errors="replace").splitlines()[-8:]
        raise FailedError(
            f"{' '.join(command[:4])} ...: exit {process.returncode}\n" + "\n".join(tail)
        )
    wall = time.perf_counter() - started
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
