"""Processes that a training loop has started itself: what became of them when it fails."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from franken.errors import FrankenError
from franken.files import read_json, write_json
from franken.interruption import Interrupted

log = logging.getLogger(__name__)

_PREFIX = "failure-"


class LeaveWord(Callback):
    """Writes why a process ends, for the one that started it.

    Args:
        directory: a file per process goes there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Errors of franken travel with their message, signals with their number."""
        word: dict[str, Any] = {"kind": "other", "message": str(exception)}
        if isinstance(exception, FrankenError):
            word["kind"] = "franken"
        elif isinstance(exception, Interrupted):
            word |= {"kind": "interrupted", "number": exception.number, "message": exception.note}
        write_json(self.directory / f"{_PREFIX}{trainer.global_rank}.json", word)


@contextmanager
def launched(directory: Path, processes: int) -> Iterator[None]:
    """Turn the end of processes that were started inside into an error that says what happened.

    Args:
        directory: where they leave word.
        processes: how many; 1: none is started.

    Raises:
        Interrupted: where they were asked to end and have kept their state.
        FrankenError: where one failed or was killed.
    """
    _forget(directory)
    try:
        yield
    except (ProcessExitedException, ProcessRaisedException) as error:
        raise _explained(error, directory, processes) from error
    finally:
        _forget(directory)


def _explained(error: Any, directory: Path, processes: int) -> BaseException:
    words = [read_json(path) for path in sorted(directory.glob(f"{_PREFIX}*.json"))]
    for word in words:
        if word["kind"] == "interrupted":
            return Interrupted(word["number"], word["message"])
    for word in words:
        if word["kind"] == "franken":
            return FrankenError(word["message"])
    if isinstance(error, ProcessExitedException) and error.signal_name:
        what = f"process {error.error_index} of {processes} was ended by {error.signal_name}"
        if error.signal_name == signal.SIGKILL.name:
            what += " (by hand, or for want of memory)"
    else:
        last = str(error).strip().splitlines()[-1]
        what = f"process {error.error_index} of {processes} failed: {last}"
    return FrankenError(f"{what}; run the same command again to continue from the last checkpoint")


def _forget(directory: Path) -> None:
    for path in directory.glob(f"{_PREFIX}*.json"):
        path.unlink(missing_ok=True)
