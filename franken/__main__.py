"""``python -m franken``: check the command line, then run one job or a grid."""

import argparse
import atexit
import gc
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from franken.cli.paths import config_dir
from franken.config.checks import Fault
from franken.config.root import Config
from franken.errors import ConfigError
from franken.files import hash_json
from franken.garbage import without_collection
from franken.processes import place_of

_SEVERAL = "has several values: add -m to run one job for each, or write [a,b] for a list"
_LIGHT_FLAGS = ("cfg", "info", "shell_completion", "hydra_help", "version")


def main() -> NoReturn:
    """Exit code: 0 all well, 1 a job failed, 2 a faulty config, 75 ended by a signal (go on)."""
    argv = sys.argv[1:]
    if "--help" in argv or "-h" in argv:
        from franken.cli.listing import help_text

        print(help_text(config_dir()))
        sys.exit(0)
    if "--estimate" in argv:
        sys.exit(_estimate([word for word in argv if word != "--estimate"]))
    with without_collection():  # configs are a million small objects, and most of them stay
        code = _run(argv)
    sys.exit(code)


def _estimate(argv: list[str]) -> int:
    """Say what the (first) job of a command line would take, and start nothing."""
    from hydra._internal.utils import get_args

    from franken.cli.check import judge_command_line
    from franken.cli.estimating import print_estimate
    from franken.config.register import register_schemas

    register_schemas()
    args = get_args(argv)
    verdict = judge_command_line(args.overrides, config_dir(), args.config_dir)
    if verdict.faults or verdict.config is None:
        _print_faults(verdict.faults)
        return 2
    print_estimate(verdict.config)
    return 0


def _run(argv: list[str]) -> int:
    import hydra
    from hydra._internal.utils import get_args
    from omegaconf import DictConfig

    from franken.cli.compositions import share_compositions
    from franken.cli.walks import walk_through_configs_so
    from franken.cli.writings import write_by_libyaml
    from franken.config.register import register_schemas

    walk_through_configs_so()
    write_by_libyaml()
    register_schemas()
    share_compositions()
    args = get_args(argv)
    statuses: list[str] = []
    if not any(getattr(args, flag, None) for flag in ("shell_completion", "hydra_help", "version")):
        faults = _faults(args)
        if faults:
            _print_faults(faults)
            return 2
    os.environ["FRANKEN_RUN_ID"] = uuid.uuid4().hex[:6]

    @hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")
    def job(composed: DictConfig) -> str:
        from franken.cli.job import run_job

        gc.freeze()  # what was made so far stays: no search in the job goes through it
        gc.enable()
        status = run_job(composed)
        gc.disable()
        statuses.append(status)
        return status

    from franken.interruption import EXIT_CODE, Interrupted

    try:
        job()
    except Interrupted as error:
        print(f"\n{error}", file=sys.stderr)
        return EXIT_CODE
    if any(getattr(args, flag, None) for flag in _LIGHT_FLAGS):
        return 0
    from franken.cli.status import FAILED
    from franken.cli.sweep import Outcome

    return int(Outcome.failed or FAILED in statuses)


def _faults(args: argparse.Namespace) -> list[Fault]:
    """What is wrong with a command, by Hydra's reading of it."""
    from franken.cli.check import judge_command_line

    if args.config_dir is not None and not Path(args.config_dir).is_dir():
        return [Fault("--config-dir", f"{args.config_dir!r} is no directory (in {Path.cwd()})")]
    verdict = judge_command_line(args.overrides, config_dir(), args.config_dir)
    config = verdict.config
    if verdict.faults or config is None or verdict.hydra is None:
        return verdict.faults
    grid = args.multirun or verdict.grid
    faults = _follow_where_placed(config.trainer.devices, config.trainer.num_nodes)
    faults += _share_where_taken(config, grid, args.overrides)
    faults += [] if grid else [Fault(key, _SEVERAL) for key in verdict.swept]
    if faults or any(getattr(args, flag, None) for flag in _LIGHT_FLAGS):
        return faults
    from franken.cli.machine import faults_here

    return faults_here(config, verdict.hydra, grid=grid)


def _follow_where_placed(devices: int, nodes: int) -> list[Fault]:
    """Give a process that only helps another one a directory that nobody looks into."""
    try:
        place = place_of(devices, nodes)
    except ConfigError as error:
        return [Fault("trainer", str(error))]
    if place is not None and place.rank > 0:
        unseen = tempfile.mkdtemp(prefix=f"franken-rank{place.rank}-")
        atexit.register(shutil.rmtree, unseen, ignore_errors=True)
        sys.argv += [f"hydra.{kind}.dir={unseen}" for kind in ("run", "sweep")]
    return []


def _share_where_taken(config: Config, grid: bool, overrides: list[str]) -> list[Fault]:
    """Equal commands that share out the jobs of a grid need the same directory."""
    if config.sweep.take != "free":
        return []
    if not grid:
        return [Fault("sweep.take", "free shares out the jobs of a grid: add -m")]
    if not any(override.startswith("hydra.sweep.dir=") for override in overrides):
        mark = hash_json(sorted(overrides))[:8]
        sys.argv.append(f"hydra.sweep.dir=outputs/multirun/{config.experiment}/free_{mark}")
    return []


def _print_faults(faults: Sequence[object]) -> None:
    count = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
    print(f"{count} in the configuration; nothing was started:", file=sys.stderr)
    for fault in faults:
        print(f"  {fault}", file=sys.stderr)


if __name__ == "__main__":
    main()
