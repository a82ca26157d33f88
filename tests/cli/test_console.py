"""What reaches standard error beside the report of a run."""

import logging

import pytest

from franken.cli import job


@pytest.mark.parametrize("terminal", [True, False])
def test_warnings_and_progress_where_no_bar_shows_it(terminal, monkeypatch):
    monkeypatch.setattr(job.sys.stderr, "isatty", lambda: terminal, raising=False)

    def shown(name: str, level: int) -> bool:
        record = logging.LogRecord(name, level, "x.py", 1, "text", None, None)
        return job._is_for_the_console(record)

    assert shown("franken.run", logging.WARNING)
    assert not shown("franken.run", logging.INFO)
    assert shown("franken.progress", logging.INFO) is not terminal
