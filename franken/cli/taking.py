"""A grid by any number of equal commands: each process takes jobs that nobody has.

Nothing but the grid's directory connects them. A job is taken under a lock that its holder loses
when it dies, so that another takes the job over; what a job left behind says whether it is settled.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from franken.cli.status import DONE, FAILED, FINISHED, STATUS_FILE
from franken.files import read_json, write_json
from franken.processes import PATIENCE_SECONDS
from franken.store.lock import KeyLock, read_note

log = logging.getLogger(__name__)

FOLDER = "taken"
"""Folder of a grid's directory with the locks and the counts of attempts."""
POLL_SECONDS = 1.0
"""Between two looks at jobs that others have, at most."""
_FIRST_POLL_SECONDS = 0.01
_POLL_SHARE = 0.05
"""A look comes that much of the waiting late, so short waits end soon and long ones cost little."""


def take_jobs(
    jobs: Iterable[int],
    directory: Path,
    run: Callable[[int], None],
    *,
    attempts: int = 3,
    wait: bool = True,
) -> list[int]:
    """Run the jobs that are free, until all are settled.

    Args:
        jobs: their numbers; the directory of each has its number as name.
        directory: of the grid.
        run: does a job and leaves its status in its directory.
        attempts: how often a job that fails, or kills its process, is begun in all.
        wait: until others have settled theirs too, to take over from those that die.

    Returns:
        The jobs that ran here, in order.
    """
    grid = _Grid(directory, attempts)
    locks = {n: KeyLock(directory / FOLDER / f"{n}.lock", {"label": f"job {n}"}) for n in jobs}
    ran: list[int] = []
    idle = 0.0
    while open_jobs := [n for n in locks if not grid.is_settled(n)]:
        took = [n for n in open_jobs if _take(n, locks[n], grid, run)]
        ran += took
        if took:
            idle = 0.0
            continue
        if not wait:
            break
        pause = min(POLL_SECONDS, max(_FIRST_POLL_SECONDS, _POLL_SHARE * idle))
        if idle < PATIENCE_SECONDS <= idle + pause:
            log.warning("no job is free: %d are at work in other processes", len(open_jobs))
        idle += pause
        time.sleep(pause)
    return ran


def jobs_at_work(directory: Path) -> int:
    """How many jobs of a grid living processes have."""
    busy = 0
    for path in sorted((directory / FOLDER).glob("[0-9]*.lock")):
        if lock := read_note(path):
            taken = KeyLock(path, lock)
            if taken.acquire(wait=False):
                taken.release()
            else:
                busy += 1
    return busy


def _take(job: int, lock: KeyLock, grid: "_Grid", run: Callable[[int], None]) -> bool:
    """Run a job if it is free; whether it was."""
    if not lock.acquire(wait=False):
        return False
    try:
        if grid.is_settled(job) or grid.is_given_up(job):
            return False
        grid.begin(job)
        run(job)
        return True
    finally:
        lock.release()


class _Grid:
    """What is known of the jobs of a grid, from what they left in its directory."""

    def __init__(self, directory: Path, attempts: int) -> None:
        self.directory, self.attempts = directory, attempts
        self._given_up: set[int] = set()
        marker = directory / FOLDER / "started"
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        self._started = marker.stat().st_mtime
        """By the clock of the file system, which all processes share."""

    def is_settled(self, job: int) -> bool:
        """Whether nothing is left to do: done, given up, or failed since this process began."""
        path = self.directory / str(job) / STATUS_FILE
        try:
            status = read_json(path)["status"]
            recent = path.stat().st_mtime >= self._started
        except (OSError, ValueError, KeyError, TypeError):
            status, recent = "", False
        return job in self._given_up or status in (FINISHED, DONE) or (status == FAILED and recent)

    def is_given_up(self, job: int) -> bool:
        """Whether a job that nobody is at was begun too often."""
        if self._begun(job) >= self.attempts:
            self._given_up.add(job)
            log.warning("job %d was begun %d times and never done", job, self.attempts)
        return job in self._given_up

    def begin(self, job: int) -> None:
        """Count an attempt, and clear away what an earlier one left."""
        write_json(self._count(job), {"attempts": self._begun(job) + 1})
        place = self.directory / str(job)
        if place.exists():
            log.info("job %d was begun before and not done; it is begun again", job)
            shutil.rmtree(place)

    def _begun(self, job: int) -> int:
        try:
            return int(read_json(self._count(job))["attempts"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _count(self, job: int) -> Path:
        return self.directory / FOLDER / f"{job}.json"
