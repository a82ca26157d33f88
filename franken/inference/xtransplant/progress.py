"""How far a long run is: a file that is rewritten after every unit, a line now and then."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from franken.files import write_json

log = logging.getLogger(__name__)

TELL_EVERY = 30.0
"""Seconds between two lines in the log."""


class Progress:
    """Units done of a run that may have begun in an earlier process.

    Rate and time left are those of units computed in this process.
    """

    def __init__(
        self,
        path: Path,
        rows: Path,
        advance: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Args: ``path`` is the file, ``rows`` where finished units can be read."""
        self.path, self.rows, self._advance = path, rows, advance
        self._done = self._total = self._fresh = 0
        self._began = self._told = time.monotonic()

    def begin(self, total: int) -> None:
        """Start counting."""
        self._done, self._total, self._fresh = 0, total, 0
        self._began = self._told = time.monotonic()

    def done(self, count: int, *, fresh: bool = True) -> None:
        """Note finished units; ``fresh`` ones were computed in this process."""
        self._done += count
        self._fresh += count if fresh else 0
        now = time.monotonic()
        seconds = now - self._began
        rate = self._fresh / seconds if seconds > 0 else 0.0
        left = (self._total - self._done) / rate if rate else None
        self._advance(self._done, self._total)
        if now - self._told >= TELL_EVERY:
            self._told = now
            shown = "?" if left is None else f"{left:.0f}"
            log.info(
                "%d of %d samples, %.2f a second, %s s left", self._done, self._total, rate, shown
            )
        write_json(
            self.path,
            {"done": self._done, "total": self._total, "per_second": rate, "seconds_left": left,
             "rows": str(self.rows)},
        )  # fmt: skip
