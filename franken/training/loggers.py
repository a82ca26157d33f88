"""Lightning loggers by name, and no secret in what they write."""

import logging
import netrc
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from pytorch_lightning.loggers import CSVLogger, Logger
from pytorch_lightning.loggers import WandbLogger as LightningWandb

from franken.config.runtime import LoggerConfig, WandbLogger
from franken.errors import ConfigError

log = logging.getLogger(__name__)

_SECRET_NAME = re.compile(
    r"(^|[_-])(token|secret|password|passwd|api_?key|access_?key|credentials?)([_-]|$)",
    re.IGNORECASE,
)


def is_secret(name: str) -> bool:
    """Whether a key or an environment variable sounds like one that holds a secret.

    Whole words only: ``loss_chunk_tokens`` and ``tokenizer`` are no secrets.
    """
    return _SECRET_NAME.search(name) is not None


def make_loggers(
    choice: LoggerConfig,
    run_dir: Path,
    *,
    group: str | None = None,
    job_type: str | None = None,
    run_id: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> list[Logger]:
    """The loggers of one step; an empty list for ``none``.

    Args:
        choice: ``none``, ``csv`` or :class:`~franken.config.runtime.WandbLogger`.
        run_dir: where they write.
        group: W&B group: the experiment.
        job_type: W&B job type: the step.
        run_id: W&B run id: the step's key.
        config: settings shown with the run.
    """
    if choice.name == "none":
        return []
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    logger: Logger
    if choice.name == "csv":
        logger = CSVLogger(str(run_dir), name="", version="")
    elif isinstance(choice, WandbLogger):
        logger = _wandb(choice, run_dir, group, job_type, run_id)
    else:
        raise ConfigError(f"logger={choice.name!r} is unknown; choose none, csv or wandb")
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


def scrub(value: Any) -> Any:
    """Plain data without the values of keys that sound like secrets."""
    if isinstance(value, Mapping):
        kept = {str(k): v for k, v in value.items() if not is_secret(str(k))}
        return {key: scrub(item) for key, item in kept.items()}
    if isinstance(value, (list, tuple)):
        return [scrub(item) for item in value]
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)


def is_online(mode: str, environ: Mapping[str, str]) -> bool:
    """Whether a W&B run may send: asked for, or logged in and not forbidden."""
    if mode != "auto":
        return mode == "online"
    if environ.get("WANDB_MODE", "online") not in ("online", "run", "shared"):
        return False
    return bool(environ.get("WANDB_API_KEY")) or _has_netrc_entry(environ)


def _has_netrc_entry(environ: Mapping[str, str]) -> bool:
    host = urlparse(environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    path = Path(environ.get("NETRC", Path.home() / ".netrc"))
    try:
        return host is not None and netrc.netrc(str(path)).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _wandb(
    choice: WandbLogger,
    run_dir: Path,
    group: str | None,
    job_type: str | None,
    run_id: str | None,
) -> LightningWandb:
    """A started W&B run that saves neither code, git state, console, machine nor packages."""
    try:
        import wandb
    except ImportError as error:
        raise ConfigError("logger=wandb needs the package: pip install wandb") from error
    offline = not is_online(choice.mode, os.environ)
    settings = wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        save_code=False,
        silent=True,
        host="",
        username="",
        program="franken",
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    with _clean_environment(offline):  # the run's helper process inherits it
        run = wandb.init(
            mode="offline" if offline else "online",
            project=choice.project,
            entity=choice.entity,
            group=group,
            job_type=job_type,
            name=job_type,
            id=run_id,
            resume="allow" if run_id and not offline else None,
            tags=list(choice.tags),
            dir=str(run_dir),
            settings=settings,
        )
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return LightningWandb(experiment=run, save_dir=str(run_dir), log_model=False)


@contextmanager
def _clean_environment(offline: bool) -> Iterator[None]:
    """Hide variables that look secret from a new process (W&B's own key stays when online)."""
    before = dict(os.environ)
    for name in before:
        if is_secret(name) and (offline or name != "WANDB_API_KEY"):
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


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
