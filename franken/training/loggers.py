"""The loggers of a step: begun, shown tables, and closed without harm to the work."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.loggers import WandbLogger as LightningWandb

from franken.logger.base import CurveLogger
from franken.logger.common.secrets import scrub

log = logging.getLogger(__name__)


def make_loggers(
    choice: CurveLogger,
    run_dir: Path,
    *,
    group: str | None = None,
    job_type: str | None = None,
    run_id: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> list[Logger]:
    """The loggers of one step; an empty list for ``none``.

    Args:
        choice: an option of the group ``logger``.
        run_dir: where they write.
        group: W&B group: the experiment.
        job_type: W&B job type: the step.
        run_id: W&B run id: the step's key.
        config: settings shown with the run.
    """
    logger = choice.open(Path(run_dir), group, job_type, run_id)
    if logger is None:
        return []
    if config:
        logger.log_hyperparams(scrub(config))
    return [logger]


def close_loggers(loggers: Sequence[Logger]) -> None:
    """Write out and end; the next step gets its own run. A logger that cannot is told of."""
    for logger in loggers:
        with harmless(f"{type(logger).__name__} could not be closed"):
            logger.save()
            if isinstance(logger, LightningWandb):
                logger.experiment.finish()


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """What happens to a logger here is told and goes no further: the work itself is done."""
    try:
        yield
    except Exception as error:  # whatever a logger raises
        log.warning(
            "%s (%s: %s); all results lie in the run's own files", what, type(error).__name__, error
        )


def log_tables(
    loggers: Sequence[Logger], records: Sequence[Mapping[str, Any]], name: str = "results"
) -> None:
    """Show result records as a W&B table; other loggers have ``results.jsonl``.

    Nested fields become columns of their own (``extra.chance``). A table that W&B refuses is told
    of, and nothing else comes of it.
    """
    flat = [flattened(record) for record in records]
    columns = sorted({key for record in flat for key in record})
    rows = [[record.get(column) for column in columns] for record in flat]
    for logger in loggers:
        if not rows or not isinstance(logger, LightningWandb):
            continue
        with (
            harmless("W&B did not take the table of results"),
            _variable("WANDB_DATA_DIR", str(logger.save_dir)),  # not the home directory
        ):
            import wandb

            # numbers, texts and gaps meet in a column: not every task has every field
            table = wandb.Table(columns=[*columns], data=rows, allow_mixed_types=True)
            logger.experiment.log({name: table})


def flattened(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Plain values by dotted names; what is no plain value is written as text."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            found |= flattened(value, f"{prefix}{key}.")
        else:
            plain = isinstance(value, (int, float, str, bool, type(None)))
            found[f"{prefix}{key}"] = value if plain else str(value)
    return found


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """An environment variable for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
