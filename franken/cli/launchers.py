"""What a choice of ``hydra/launcher`` needs before a grid can start with it."""

import warnings
from collections.abc import Iterator
from importlib.util import find_spec

from franken.config.checks import Fault
from franken.config.runtime import SweepConfig

OWN = "hydra_plugins.franken_launcher"
EXTRAS = {
    "hydra_plugins.hydra_joblib_launcher": "joblib",
    "hydra_plugins.hydra_submitit_launcher": "slurm",
    "hydra_plugins.hydra_ray_launcher": "ray",
}
"""Package of a launcher -> extra of franken that installs it."""


ELSEWHERE = ("SlurmLauncher", "RayLauncher", "RayAWSLauncher")
"""Ends of the classes whose jobs run on other machines than the command."""


def launcher_faults(target: str, sweep: SweepConfig) -> Iterator[Fault]:
    """What is wrong with a launcher here and now.

    Args:
        target: ``hydra.launcher._target_``, the path of its class.
        sweep: how the jobs of a grid are shared out.
    """
    package = ".".join(target.split(".")[:2])
    if package in EXTRAS and find_spec(package) is None:
        extra = EXTRAS[package]
        yield Fault(
            "hydra/launcher",
            f"{package.partition('.')[2]} is not installed: pip install 'franken[{extra}]'",
        )
    if sweep.take == "free" and package != OWN:
        yield Fault(
            "sweep.take",
            "free shares out jobs among equal commands, each of which runs its own one by one: "
            f"leave hydra/launcher at franken, or take=all with {target.rpartition('.')[2]}",
        )


def quiet_about_presets() -> None:
    """Leave out a warning of Hydra's that is none of the user's business.

    The presets of ``conf/hydra/launcher`` are checked by the schemas that the launchers' packages
    register under the same names. Hydra 1.3 warns that it is about to stop that; it goes on.
    """
    warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated", UserWarning)
