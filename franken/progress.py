"""How far a long part of a run is, as a plain line now and then where there is no terminal."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)
"""What is said here reaches standard error too, where that is no terminal."""

TELL_EVERY = 30.0
"""Seconds between two lines."""


class Lines:
    """A line every half minute: what is under way, its rate, the time it has left."""

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: ``what`` begins each line, such as ``evaluating``; ``clock`` gives seconds."""
        self._what, self._clock = what, clock
        self._told = clock()
        self._label: str | None = None
        self._began, self._first = self._told, 0

    def __call__(self, label: str, done: int, total: int) -> None:
        """Note that so many are done."""
        now = self._clock()
        if label != self._label:
            # the first batch of a label began when the last one of another ended
            self._label, self._began, self._first = label, now, done
        if now - self._told < TELL_EVERY:
            return
        self._told = now
        rate = (done - self._first) / (now - self._began) if now > self._began else 0.0
        left = f"{(total - done) / rate:.0f} s left" if rate else "time left not known yet"
        name = f"{self._what} {label}".strip()
        log.info("%s: %d of %d, %.3g/s, %s", name, done, total, rate, left)
