"""Curves as CSV files."""

from __future__ import annotations

import warnings

from franken.declare import option
from franken.lazy import later
from franken.logger.base import CurveLogger

with later():
    from pathlib import Path

    from pytorch_lightning.loggers import CSVLogger


@option
class CsvLogger(CurveLogger):
    """Curves as CSV files in the run directory."""

    def open(
        self, directory: Path, group: str | None, job_type: str | None, run_id: str | None
    ) -> CSVLogger:
        """``metrics.csv``, by optimiser step; what an earlier try left there is replaced.

        A training that goes on has its whole curve in the end: ``Runner.write_curves``.
        """
        directory.mkdir(parents=True, exist_ok=True)
        logger = CSVLogger(str(directory), name="", version="")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
            logger.experiment  # noqa: B018  (made on first sight, which clears the directory)
        return logger
