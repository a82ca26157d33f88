"""One job of the entry: run it, write its results, and keep its traceback if it fails."""

import logging
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from franken.cli.check import config_faults, to_config
from franken.cli.machine import accelerator_faults
from franken.cli.status import DONE, FAILED, FINISHED, INTERRUPTED, STATUS_FILE
from franken.config.root import Config
from franken.errors import ConfigError, FrankenError
from franken.files import write_atomically, write_json
from franken.interruption import Interrupted, obeying
from franken.processes import place_of
from franken.recipe_checkpoints import checkpoint_faults

log = logging.getLogger(__name__)

_VERSIONS = ("franken", "torch", "transformers", "tokenizers", "pytorch-lightning", "peft")


def run_job(composed: DictConfig) -> str:
    """Run one composed config; never raises for a failing job, so that a sweep goes on.

    Returns:
        The status, also written to ``status.json`` in the run directory together with what a
        summary needs; a failed job leaves ``traceback.txt`` beside it.
    """
    hydra = HydraConfig.get()
    run_dir = Path(hydra.runtime.output_dir)
    overrides = list(hydra.overrides.task)
    single = hydra.mode != RunMode.MULTIRUN
    _log_to(run_dir / "run.log")
    status: dict[str, Any] = {"overrides": overrides, "run_dir": str(run_dir)}
    try:
        config = to_config(composed)
        faults = config_faults(config) or accelerator_faults(config.trainer)
        faults = faults or checkpoint_faults(config)
        if faults:
            raise ConfigError("\n".join(map(str, faults)))
        with obeying(), _led(config) as doing:
            if doing is None:
                return FINISHED  # another process did it, with this one's help
            status["status"] = _run(
                config, composed, run_dir, overrides, single=single, on_step=doing
            )
    except (KeyboardInterrupt, Interrupted) as error:
        signalled = isinstance(error, Interrupted)
        message = str(error) if signalled else "interrupted"
        status.update(status=INTERRUPTED if signalled else FAILED, error=message)
        write_json(run_dir / STATUS_FILE, status)
        if isinstance(error, Interrupted):
            error.hand_on()
        raise
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        write_atomically(run_dir / "traceback.txt", text.encode())
        message = (
            str(error) if isinstance(error, FrankenError) else f"{type(error).__name__}: {error}"
        )
        status.update(status=FAILED, error=message)
        log.error("failed: %s\n  traceback: %s", message, run_dir / "traceback.txt")
    write_json(run_dir / STATUS_FILE, status)
    return str(status["status"])


@contextmanager
def _led(config: Config) -> Iterator[Callable[[str], None] | None]:
    """What tells of steps; ``None`` where this process only helped the first of several."""
    place = place_of(config.trainer.devices, config.trainer.num_nodes)

    def tell(line: str) -> None:
        print(line, flush=True)

    if place is None:
        yield tell
        return
    from franken.training.team import Team

    team = Team.meet(place, gpu=config.trainer.device == "cuda")
    if not team.leads:
        team.follow()
        yield None
        return

    def tell_all(line: str) -> None:
        tell(line)
        team.doing(line)

    with team.leading():
        yield tell_all


def _run(
    config: Config,
    composed: DictConfig,
    run_dir: Path,
    overrides: list[str],
    *,
    single: bool,
    on_step: Callable[[str], None],
) -> str:
    from franken.run import Runner

    _quiet_libraries()
    runner = Runner(config, run_dir, on_step=on_step)
    plain = OmegaConf.to_container(composed, resolve=True, enum_to_str=True)
    summary: dict[str, Any] = {
        "overrides": overrides, "config": plain, "command": shown_command(overrides),
        "versions": _versions(),
    }  # fmt: skip
    try:
        runner.run()
    finally:
        write_json(run_dir / "run.json", {**runner.summary(), **summary})
    records = runner.write_results()
    runner.write_transplants()
    runner.write_new_tokens()
    runner.write_curves()
    _log_tables(config, records, run_dir)
    _place_exports(runner, run_dir)
    (run_dir / "traceback.txt").unlink(missing_ok=True)  # of an earlier try in this directory
    if single:
        from franken.cli.show import show_report

        command = shown_command(overrides)
        show_report([run_dir], run_dir, config.experiment, command=command, store=runner.store)
    return DONE if runner.was_done else FINISHED


def shown_command(overrides: list[str]) -> str:
    """The command that repeats a job."""
    return " ".join(["python -m franken", *map(shlex.quote, overrides)])


def _place_exports(runner: Any, run_dir: Path) -> None:
    """Put exported checkpoints beside the results; an earlier run's export there is replaced."""
    from franken.files import place_tree

    for model, name in runner.graph.exports.items():
        target = run_dir / "export" / model
        place_tree(runner.artifacts[name].path / "model", target)
        print(
            f"exported {model}: {target} (weights are shared with the store: copy before editing)"
        )


def _log_tables(config: Config, records: list[dict[str, Any]], run_dir: Path) -> None:
    """The results as a table of the logger, where it shows tables."""
    if not config.logger.shows_tables:
        return
    from franken.training.loggers import close_loggers, harmless, log_tables, make_loggers

    directory = run_dir / "curves" / "results"
    with harmless("W&B could not be told of the results"):
        loggers = make_loggers(
            config.logger, directory, group=config.experiment, job_type="results"
        )
        log_tables(loggers, records)
        close_loggers(loggers)


def _versions() -> dict[str, str]:
    found = {}
    for name in _VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _quiet_libraries() -> None:
    """Keep third-party chatter out of the console; warnings of our own stay."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    for name in ("pytorch_lightning", "lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _is_for_the_console(record: logging.LogRecord) -> bool:
    """Warnings; and how far a run is, where no bar shows it."""
    told = record.name == "franken.progress" and not sys.stderr.isatty()
    return record.levelno >= logging.WARNING or told


def _log_to(path: Path) -> None:
    """Send this job's log to its own directory, and only this job's."""
    root = logging.getLogger("franken")
    for handler in list(root.handlers):
        if getattr(handler, "franken_job", False):
            root.removeHandler(handler)
            handler.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handler.franken_job = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    root.propagate = False
    if not any(type(handler) is logging.StreamHandler for handler in root.handlers):
        console = logging.StreamHandler()
        console.addFilter(_is_for_the_console)
        console.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        root.addHandler(console)
