"""Presets of launchers: each composes without its package, and runs a grid where it is there."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from franken.cli import launchers
from franken.cli.check import check_command_line
from franken.cli.launchers import EXTRAS, launcher_faults
from franken.cli.paths import config_dir
from franken.config.register import register_schemas
from franken.config.runtime import SweepConfig
from franken.files import read_json
from franken.interruption import Interrupted, obeying

register_schemas()
OTHERS = ("joblib", "submitit_slurm", "ray")

GRID = """
import os, time
from pathlib import Path
import hydra
from hydra.core.hydra_config import HydraConfig
from franken.cli.paths import config_dir
from franken.config.register import register_schemas
from franken.files import write_json

register_schemas()

@hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")
def job(config):
    here = Path(HydraConfig.get().runtime.output_dir)
    status = {"status": "finished", "run_dir": str(here), "overrides": []}
    write_json(here / "status.json", {**status, "seed": config.seed, "process": os.getpid()})
    while len(list(here.parent.glob("*/status.json"))) < 2:
        time.sleep(0.01)

job()
"""


def launcher(*overrides: str) -> dict[str, object]:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        composed = compose("config", overrides=list(overrides), return_hydra_config=True)
    # what names the directory of a run is known only when it starts
    OmegaConf.update(composed, "hydra.sweep.dir", "grid")
    return OmegaConf.to_container(composed.hydra.launcher, resolve=True)


@pytest.mark.parametrize("name", OTHERS)
def test_a_preset_composes_without_its_package_and_names_a_class_of_it(name):
    target = str(launcher(f"hydra/launcher={name}")["_target_"])
    assert target.rsplit(".", 2)[0] in EXTRAS


@pytest.mark.parametrize("name", OTHERS)
def test_a_launcher_whose_package_is_absent_is_refused_with_the_extra(monkeypatch, name):
    monkeypatch.setattr(launchers, "find_spec", lambda package: None)
    (fault,) = check_command_line([f"hydra/launcher={name}"], config_dir())
    assert fault.key == "hydra/launcher"
    extras = {"joblib": "joblib", "submitit_slurm": "slurm", "ray": "ray"}
    assert f"franken[{extras[name]}]" in fault.message


def test_jobs_are_taken_by_equal_commands_through_the_own_launcher_alone(monkeypatch):
    monkeypatch.setattr(launchers, "find_spec", lambda package: object())
    own = "hydra_plugins.franken_launcher.FrankenLauncher"
    assert list(launcher_faults(own, SweepConfig(take="free"))) == []
    (fault,) = check_command_line(["hydra/launcher=joblib", "sweep.take=free"], config_dir())
    assert fault.key == "sweep.take"


def test_a_job_of_several_processes_asks_slurm_for_as_many_tasks():
    asked = launcher("hydra/launcher=submitit_slurm", "trainer.devices=4", "trainer.num_nodes=2")
    assert (asked["nodes"], asked["tasks_per_node"]) == (2, 4)


@pytest.mark.parametrize("name", [n for n in OTHERS if n != "ray"])
def test_a_preset_has_exactly_the_keys_of_the_plugin(name):
    """Of Ray's, ``init`` and ``remote`` go to Ray as they are."""
    module = {"joblib": "hydra_joblib_launcher", "submitit_slurm": "hydra_submitit_launcher"}[name]
    if find_spec(f"hydra_plugins.{module}") is None:
        pytest.skip(f"{module} is not installed")
    config = __import__(f"hydra_plugins.{module}.config", fromlist=["config"])
    schema = {"joblib": "JobLibLauncherConf", "submitit_slurm": "SlurmQueueConf"}[name]
    keys = set(OmegaConf.structured(getattr(config, schema)))
    assert set(launcher(f"hydra/launcher={name}")) == keys


def test_a_signal_goes_on_to_the_handler_that_the_launcher_had_set():
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: seen.append(number))
    try:
        with pytest.raises(Interrupted) as caught, obeying():
            os.kill(os.getpid(), signal.SIGUSR2)
        assert seen == []
        caught.value.hand_on()
        assert seen == [signal.SIGUSR2]
    finally:
        signal.signal(signal.SIGUSR2, before)
    Interrupted(signal.SIGTERM).hand_on()  # nobody to tell


def test_joblib_runs_the_jobs_of_a_grid_in_two_processes(tmp_path):
    """Through all of Hydra and the preset; the job itself does nothing, and waits for the other."""
    if find_spec("hydra_plugins.hydra_joblib_launcher") is None:
        pytest.skip("hydra-joblib-launcher is not installed")
    ended = subprocess.run(
        [sys.executable, "-c", GRID, "-m", "seed=3,4", "hydra/launcher=joblib"],
        cwd=tmp_path, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (grid,) = (tmp_path / "outputs" / "multirun" / "adhoc").iterdir()
    jobs = read_json(grid / "summary.json")
    assert [job["seed"] for job in jobs] == [3, 4]
    assert len({job["process"] for job in jobs}) == 2
