"""Weights & Biases."""

from __future__ import annotations

import netrc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlparse

from franken.declare import option
from franken.errors import ConfigError
from franken.lazy import later
from franken.logger.base import CurveLogger
from franken.logger.common.secrets import is_secret

with later():
    from pytorch_lightning.loggers import WandbLogger as LightningWandb


@option
class WandbLogger(CurveLogger):
    """Weights & Biases through Lightning; offline unless logged in."""

    shows_tables: ClassVar[bool] = True

    project: str = "franken"
    """The project of W&B that runs are filed under."""
    entity: str | None = None
    """The user or team it belongs to; ``null``: that of the login."""
    mode: str = "auto"
    """auto, online, offline."""
    tags: list[str] = field(default_factory=list)
    """Tags of every run."""

    def faults(self) -> Iterator[tuple[str, str]]:
        """Key and message of everything wrong with the options."""
        if self.mode not in ("auto", "online", "offline"):
            yield "mode", f"must be auto, online or offline, got {self.mode!r}"
        if find_spec("wandb") is None:
            yield "name", "wandb is not installed: pip install wandb, or choose logger=csv or none"

    def open(
        self, directory: Path, group: str | None, job_type: str | None, run_id: str | None
    ) -> LightningWandb:
        """A started run that saves neither code, git state, console, machine nor packages.

        Raises:
            ConfigError: where the package is not installed.
        """
        try:
            import wandb
        except ImportError as error:
            raise ConfigError("logger=wandb needs the package: pip install wandb") from error
        directory.mkdir(parents=True, exist_ok=True)
        offline = not is_online(self.mode, os.environ)
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
                project=self.project,
                entity=self.entity,
                group=group,
                job_type=job_type,
                name=job_type,
                id=run_id,
                resume="allow" if run_id and not offline else None,
                tags=list(self.tags),
                dir=str(directory),
                settings=settings,
            )
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return LightningWandb(experiment=run, save_dir=str(directory), log_model=False)


def is_online(mode: str, environ: Mapping[str, str]) -> bool:
    """Whether a run may send: asked for, or logged in and not forbidden."""
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
