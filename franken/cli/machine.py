"""What a job asks of the machine that it runs on: directories, an accelerator, checkpoints."""

import os
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from franken.cli.launchers import ELSEWHERE
from franken.config.checks import Fault
from franken.config.root import Config
from franken.config.trainer import TrainerConfig


def faults_here(config: Config, own: DictConfig, *, grid: bool) -> list[Fault]:
    """What this machine cannot do of a job that has no other fault.

    Args:
        config: the (first) job.
        own: Hydra's part of it.
        grid: whether there are several jobs.
    """
    from franken.recipe_checkpoints import checkpoint_faults  # imports torch

    kind = "sweep" if grid else "run"
    directories = {f"hydra.{kind}.dir": str(own[kind].dir), "store.path": config.store.path}
    faults = list(directory_faults(directories))
    if not str(OmegaConf.select(own, "launcher._target_")).endswith(ELSEWHERE):
        faults += accelerator_faults(config.trainer)
    return faults or checkpoint_faults(config)


def directory_faults(directories: dict[str, str]) -> Iterator[Fault]:
    """Directories that cannot be made or written into.

    Args:
        directories: key of the config -> directory; it need not exist yet.
    """
    for key, directory in directories.items():
        path = Path(directory).expanduser().absolute()
        nearest = next(place for place in (path, *path.parents) if os.path.lexists(place))
        if not nearest.is_dir():
            yield Fault(key, f"{directory!r} cannot be a directory: {nearest} is a file")
        elif not os.access(nearest, os.W_OK | os.X_OK):
            yield Fault(
                key, f"{directory!r} cannot be written: this user may not write into {nearest}"
            )


def accelerator_faults(trainer: TrainerConfig) -> list[Fault]:
    """Whether the accelerator asked for is here. Imports torch where a GPU is."""
    if trainer.accelerator not in ("gpu", "cuda"):
        return []
    import torch

    if torch.cuda.is_available():
        return []
    built = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "has no CUDA"
    message = (
        f"{trainer.accelerator!r} is not here: torch {torch.__version__} {built} and finds no GPU; "
        f"there are {os.cpu_count()} CPU cores. Use trainer=cpu, or trainer.accelerator=auto, "
        "which takes a GPU where there is one"
    )
    return [Fault("trainer.accelerator", message)]
