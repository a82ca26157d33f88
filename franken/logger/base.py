"""What every logger has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from franken.lazy import later

with later():
    from pathlib import Path

    from pytorch_lightning.loggers import Logger


@dataclass
class CurveLogger:
    """Curves of training; ``results.jsonl`` and the reports are written whatever stands here."""

    shows_tables: ClassVar[bool] = False
    """Whether the scores at the end of a run are shown by it too."""

    name: str = ""
    """The option."""

    def open(
        self, directory: Path, group: str | None, job_type: str | None, run_id: str | None
    ) -> Logger | None:
        """Begin the curves of one step; ``None``: nobody looks at them.

        Args:
            directory: where files go; made where it is needed.
            group: the experiment.
            job_type: the step.
            run_id: the step's key.
        """
        raise NotImplementedError(f"{type(self).__name__} is no logger of its own")
