"""Curves as CSV files."""

from __future__ import annotations

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
        """``metrics.csv``, by optimiser step."""
        directory.mkdir(parents=True, exist_ok=True)
        return CSVLogger(str(directory), name="", version="")
