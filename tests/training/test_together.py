"""Two nodes train as one process does: the same losses, the same table."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from franken.errors import FrankenError
from franken.training.state import TrainingReport
from tests.faults import raises
from tests.forking import CONTEXT
from tests.training import together
from tests.training.tiny import CPU

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo"),
]
DEADLINE = 60


def start(folder: Path, names: list[str], *, signalled: bool = False) -> tuple[list[Any], Any]:
    results, port = CONTEXT.Queue(), together.free_port()
    nodes = [
        CONTEXT.Process(
            target=together.play, args=(rank, port, folder, names, results, signalled), daemon=True
        )
        for rank in (0, 1)
    ]
    for node in nodes:
        node.start()
    return nodes, results


def finish(nodes: list[Any]) -> None:
    for node in nodes:
        node.join(DEADLINE)
        if node.exitcode is None:
            node.kill()
        assert node.exitcode == 0


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, together.Outcome]:
    """Every case, by two nodes one case after the other."""
    names = list(together.CASES)
    nodes, results = start(tmp_path_factory.mktemp("together"), names)
    found = {}
    for _ in names:
        name, report, weights = results.get(timeout=DEADLINE)
        whole = {key: torch.from_numpy(value) for key, value in weights.items()}
        found[name] = TrainingReport(**report), whole
    finish(nodes)
    return found


def assert_same(found: together.Outcome, expected: together.Outcome, loose: bool = False) -> None:
    """Losses to 1e-5, weights as float32 sums allow."""
    (report, weights), (alone, whole) = found, expected
    for curve in ("curve", "validation"):
        losses = [[point["loss"] for point in getattr(r, curve)] for r in (report, alone)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3 if loose else 1e-5)
    assert (report.tokens, report.best_step) == (alone.tokens, alone.best_step)
    assert weights.keys() == whole.keys()
    tolerances = {"rtol": 1e-1, "atol": 5e-3} if loose else {"rtol": 1e-3, "atol": 1e-5}
    for key, value in whole.items():
        torch.testing.assert_close(weights[key], value, **tolerances)


@pytest.mark.parametrize("name", list(together.CASES))
def test_two_nodes_end_where_one_process_does(name, done, tmp_path):
    case = together.CASES[name]
    assert_same(done[name], case(tmp_path, CPU), case.loose)


def test_a_signal_to_one_node_ends_both_and_one_process_goes_on(tmp_path):
    name = "tied"
    nodes, results = start(tmp_path, [name], signalled=True)
    said = [results.get(timeout=DEADLINE) for _ in nodes]
    finish(nodes)
    assert {rank for _, rank, _ in said} == {0, 1}
    shards = next((tmp_path / name / "checkpoints").glob("step-*/"))
    assert len(list(shards.glob("shard-*.safetensors"))) == 2

    case = together.CASES[name]
    found = case(tmp_path / name, CPU)
    assert 2 <= found[0].resumed_at < together.STEPS
    assert_same(found, case(tmp_path / "undisturbed", CPU))


def test_a_killed_process_of_a_machine_is_a_clear_error_and_another_goes_on(tmp_path):
    case = together.CASES["tied"]
    two = replace(together.FSDP, devices=2)
    with raises(FrankenError, "of 2"):
        case(tmp_path, two, together.die_at_two)
    found = case(tmp_path, CPU)
    assert found[0].resumed_at in (0, 2)  # rank 0 may have written step 2 before it fell
    assert_same(found, case(tmp_path / "undisturbed", CPU))
