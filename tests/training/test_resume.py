"""A run that is killed and started again ends with the bits of an undisturbed one."""

import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.forking import CONTEXT
from tests.training import killed


def start(case: str, work_dir: Path, kill_at: tuple[str, int] | None = None) -> int:
    process = CONTEXT.Process(target=killed.run, args=(case, str(work_dir), kill_at))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def result(work_dir: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(work_dir / "final.pt", weights_only=True)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Final states of the cases, by name; made when first asked for."""

    class Runs(dict):  # type: ignore[type-arg]
        def __missing__(self, case: str) -> dict[str, Any]:
            directory = tmp_path_factory.mktemp(case)
            assert start(case, directory) == 0
            self[case] = result(directory)
            return self[case]  # type: ignore[no-any-return]

    return Runs()


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["curve"] == expected["curve"]
    assert found["validation"] == expected["validation"]
    assert found["best"] == expected["best"]
    assert found["weights"].keys() == expected["weights"].keys()
    for name, value in expected["weights"].items():
        assert torch.equal(found["weights"][name], value), name


@pytest.mark.parametrize("case", sorted(killed.CASES))
def test_killed_at_random_steps_the_result_is_the_same(case, undisturbed, tmp_path):
    steps = sorted(random.sample(range(1, killed.STEPS + 1), 3))
    for step in steps:
        assert start(case, tmp_path, ("step", step)) == -signal.SIGKILL, f"kills at {steps}"
    assert start(case, tmp_path) == 0
    found = result(tmp_path)
    assert found["resumed_at"] == (steps[-1] - 1) // 3 * 3, f"kills at {steps}"
    assert_same(found, undisturbed[case])


@pytest.mark.parametrize("place", ["writing", "sealing"])
@pytest.mark.parametrize(("number", "resumed_at"), [(1, 0), (3, 6)])
def test_killed_while_writing_a_checkpoint(place, number, resumed_at, undisturbed, tmp_path):
    case = "embeddings_accumulated"
    assert start(case, tmp_path, (place, number)) == -signal.SIGKILL
    assert start(case, tmp_path) == 0
    found = result(tmp_path)
    assert found["resumed_at"] == resumed_at
    assert_same(found, undisturbed[case])
    assert not list((tmp_path / "checkpoints").glob(".*"))


def test_killed_while_writing_selected_weights(undisturbed, tmp_path):
    case = "full_with_dropout_and_selection"
    assert start(case, tmp_path, ("writing", 2)) == -signal.SIGKILL
    assert start(case, tmp_path) == 0
    assert_same(result(tmp_path), undisturbed[case])


@pytest.mark.parametrize("damage", ["truncate", "flip", "no_sidecar", "empty_sidecar"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(damage, undisturbed, tmp_path):
    case = "embeddings_accumulated"
    assert start(case, tmp_path, ("step", 11)) == -signal.SIGKILL
    newest = max((tmp_path / "checkpoints").glob("step-*.pt"))
    assert newest.name == "step-00000009.pt"
    content = bytearray(newest.read_bytes())
    if damage == "truncate":
        newest.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
    elif damage == "no_sidecar":
        newest.with_suffix(".json").unlink()
    else:
        newest.with_suffix(".json").write_bytes(b"")
    assert start(case, tmp_path) == 0
    found = result(tmp_path)
    assert found["resumed_at"] == 6
    assert_same(found, undisturbed[case])


def test_a_finished_run_repeats_nothing(undisturbed, tmp_path):
    """Killed after training, before the artefact is published."""
    case = "full_with_dropout_and_selection"
    assert start(case, tmp_path) == 0
    assert start(case, tmp_path) == 0
    found = result(tmp_path)
    assert found["resumed_at"] == killed.STEPS
    assert_same(found, undisturbed[case])
