"""What a machine cannot do is said before anything starts."""

import os
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from franken.__main__ import _run
from franken.cli import machine
from franken.cli.machine import accelerator_faults, directory_faults, faults_here
from franken.config.root import Config
from franken.config.trainer import TrainerConfig
from tests.faults import unnamed


@pytest.mark.parametrize("name", ["gpu", "cuda"])
def test_an_accelerator_that_is_not_here_is_a_fault(monkeypatch, name) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (fault,) = accelerator_faults(TrainerConfig(accelerator=name))
    assert fault.key == "trainer.accelerator"
    assert not unnamed(fault.message, repr(name), torch.__version__, "trainer=cpu")
    assert accelerator_faults(TrainerConfig(accelerator="auto")) == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert accelerator_faults(TrainerConfig(accelerator=name)) == []
    assert TrainerConfig(accelerator="auto").device == "cuda"  # where scoring runs, too


def test_directories_that_cannot_be_made_are_faults(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    inside, itself = str(tmp_path / "file" / "run"), str(tmp_path / "file")
    directories = {"a": inside, "b": itself, "c": str(tmp_path / "broken"), "d": str(tmp_path)}
    found = {fault.key: fault.message for fault in directory_faults(directories)}
    assert set(found) == {"a", "b", "c"}
    assert not unnamed(found["a"], repr(inside), itself)
    monkeypatch.setattr(os, "access", lambda *_: False)
    (fault,) = directory_faults({"d": str(tmp_path / "new")})
    assert not unnamed(fault.message, repr(str(tmp_path / "new")), tmp_path)


@pytest.mark.parametrize(("grid", "key"), [(False, "hydra.run.dir"), (True, "hydra.sweep.dir")])
def test_the_directory_that_is_written_to_is_looked_at(tmp_path, monkeypatch, grid, key):
    (tmp_path / "file").touch()
    wrong = str(tmp_path / "file")
    own = OmegaConf.create({
        "run": {"dir": wrong}, "sweep": {"dir": wrong},
        "launcher": {"_target_": "hydra_plugins.x.SlurmLauncher"},
    })  # fmt: skip
    config = Config(trainer=TrainerConfig(accelerator="gpu"))
    config.store.path = str(tmp_path)
    monkeypatch.setattr(machine, "accelerator_faults", pytest.fail)  # the jobs run elsewhere
    assert [fault.key for fault in faults_here(config, own, grid=grid)] == [key]


@pytest.mark.parametrize(("argv", "named"), [
    (["seed=1,2", "init_method=mean,lexicon"], ["seed", "init_method", "-m"]),
    (["--config-dir=nowhere"], ["--config-dir", "'nowhere'"]),
])  # fmt: skip
def test_commands_that_hydra_would_end_with_its_own_words_are_faults(capsys, argv, named) -> None:
    assert _run(argv) == 2
    assert not unnamed(capsys.readouterr().err, *named)
