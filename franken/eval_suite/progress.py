"""How far an evaluation is: a bar on a terminal, a plain line now and then elsewhere."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

TELL_EVERY = 30.0
"""Seconds between two lines where there is no terminal."""

Advance = Callable[[str, int, int], None]
"""Told what is under way, how many of its items are done, and how many there are."""


@contextmanager
def shown_progress(enabled: bool, *, lines: bool = True) -> Iterator[Advance]:
    """Yields ``advance(label, done, total)``; draws on standard error if that is a terminal.

    Args:
        enabled: whether to show anything.
        lines: whether to write a line now and then where there is no terminal.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not enabled or not (lines or console.is_terminal):
        yield lambda label, done, total: None
        return
    if not console.is_terminal:
        yield Lines()
        return
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        current = bar.add_task("", total=None, rate="")
        shown = ""

        def advance(label: str, done: int, total: int) -> None:
            nonlocal shown
            if label != shown:
                bar.reset(current, total=total, description=label)
                shown = label
            speed = bar.tasks[0].speed
            bar.update(current, completed=done, rate=f"{speed:.3g}/s" if speed else "")

        yield advance


class Lines:
    """A line in the log every half minute: what is under way, its rate, the time it has left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: ``clock`` gives seconds."""
        self._clock = clock
        self._told = clock()
        self._label = ""
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
        log.info("evaluating %s: %d of %d, %.3g/s, %s", label, done, total, rate, left)
