"""The checkpoint folder."""

import os
from pathlib import Path

import pytest
import torch

from franken.errors import ArtifactError
from franken.training import checkpoints
from franken.training.checkpoints import CheckpointFolder
from tests.faults import raises


def content(step: int) -> dict:
    return {"step": step, "weights": {"a": torch.full((3,), float(step))}}


def names(folder: CheckpointFolder) -> list[str]:
    return sorted(path.name for path in folder.directory.iterdir() if path.suffix == ".pt")


def test_the_newest_two_are_kept_and_the_weights_they_point_to(tmp_path):
    folder = CheckpointFolder(tmp_path, "run")
    for step, best in ((10, 5), (20, 15), (30, 15), (40, 35)):
        if best not in [int(n[5:13]) for n in names(folder) if n.startswith("best")]:
            folder.save("best", best, content(best))
        folder.save("step", step, content(step), best_step=best)
        folder.prune(best)
    kept = ["best-00000015.pt", "best-00000035.pt", "step-00000030.pt", "step-00000040.pt"]
    assert names(folder) == kept
    newest = folder.newest()
    assert newest is not None
    assert newest["step"] == 40


def test_a_checkpoint_of_another_run_is_refused_not_used(tmp_path):
    CheckpointFolder(tmp_path, "run").save("step", 1, content(1))
    with raises(ArtifactError, tmp_path / "step-00000001", "'run'", "'other'"):
        CheckpointFolder(tmp_path, "other").newest()


def test_objects_are_refused_when_written_not_when_read(tmp_path):
    folder = CheckpointFolder(tmp_path, "run")
    with raises(ArtifactError, "step.loader.path", type(tmp_path).__name__):
        folder.save("step", 1, {"loader": {"path": tmp_path}})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full")
def test_a_full_disk_is_a_clear_error_and_costs_no_older_checkpoint(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path, "run")
    folder.save("step", 1, content(1))
    handle = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(checkpoints, "open", lambda *_: os.fdopen(handle, "wb"), raising=False)
    with raises(ArtifactError, tmp_path / "step-00000002.pt", "store.path"):
        folder.save("step", 2, content(2))
    monkeypatch.undo()
    assert names(folder) == ["step-00000001.pt"]
    assert not list(tmp_path.glob(".*"))
    assert folder.newest()["step"] == 1  # type: ignore[index]


def test_an_empty_folder_has_no_newest(tmp_path):
    assert CheckpointFolder(tmp_path / "new", "run").newest() is None
