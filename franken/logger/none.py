"""No curves."""

from __future__ import annotations

from franken.declare import option
from franken.lazy import later
from franken.logger.base import CurveLogger

with later():
    from pathlib import Path


@option
class NoLogger(CurveLogger):
    """No curves; results.jsonl and the reports are written all the same."""

    def open(
        self, directory: Path, group: str | None, job_type: str | None, run_id: str | None
    ) -> None:
        """Nothing is written."""
