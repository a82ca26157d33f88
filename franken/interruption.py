"""Signals that end a run so that it can go on: SLURM's time limit, a spot machine.

SIGTERM is a scheduler's, SIGUSR1 a job script's (``--signal``), SIGUSR2 submitit's.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

EXIT_CODE = 75
"""``EX_TEMPFAIL``: the same command, run again, goes on where this one ended."""
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Interrupted(BaseException):
    """A signal asked the run to end; what was done is kept.

    As KeyboardInterrupt it is no ``Exception``, so that nothing on the way takes it for a fault.
    """

    def __init__(self, number: int, note: str = "") -> None:
        super().__init__(number, note)
        self.number, self.note = number, note

    def __str__(self) -> str:
        name = signal.Signals(self.number).name
        return f"ended by {name}{self.note}; the same command goes on from here"

    def hand_on(self) -> None:
        """Let the signal's handler from outside of ``obeying`` have it, where there is one.

        A launcher may have set it: submitit queues the job again and leaves.
        """
        handler = signal.getsignal(self.number)
        if callable(handler):
            handler(self.number, None)


class StopRequest:
    """The signal that came inside a ``with listening()``, noted and not obeyed."""

    number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Note signals instead of obeying them; child processes are told too."""
    stop = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        stop.number = number
        for child in multiprocessing.active_children():
            with suppress(ProcessLookupError, TypeError):
                os.kill(child.pid, number)  # type: ignore[arg-type]

    with _handling(note):
        yield stop


@contextmanager
def obeying() -> Iterator[None]:
    """Raise :class:`Interrupted` where a signal arrives."""

    def obey(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    with _handling(obey):
        yield


@contextmanager
def _handling(handler: Any) -> Iterator[None]:
    """Handlers can be set in the main thread only; elsewhere signals do what they did."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier if earlier is not None else signal.SIG_DFL)
