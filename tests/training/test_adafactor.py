"""AdamW with factored moments against AdamW, and against its equation."""

import pytest
import torch
from torch import nn

from franken.config.training import OptimizerName, Trainable, TrainingConfig
from franken.errors import CompatibilityError
from franken.training.adafactor import Adafactor
from franken.training.optimizers import make_optimizer
from franken.training.runner import train_model
from tests.faults import raises
from tests.training.resuming import moved_and_resumed
from tests.training.tiny import CPU, TinyData, tiny_model

OPTIONS = {"lr": 0.01, "betas": (0.9, 0.95), "eps": 1e-8}


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_vectors_go_by_adamw_and_so_do_matrices_whose_gradients_have_sizes_of_rank_one():
    start = draw(6, 4, seed=0)
    sizes = draw(6, 1, seed=1) * draw(1, 4, seed=2)
    ours = [nn.Parameter(start.clone()), nn.Parameter(start[0].clone())]
    its = [nn.Parameter(p.detach().clone()) for p in ours]
    rates = (
        Adafactor([{"params": ours, "weight_decay": 0.1}], **OPTIONS),
        torch.optim.AdamW(its, weight_decay=0.1, **OPTIONS),
    )
    for step in range(4):
        signs, size = draw(6, 4, seed=3 + step).sign(), 1.0 + step
        for table, vector in (ours, its):
            table.grad, vector.grad = size * sizes * signs, draw(4, seed=9 + step)
        for rate in rates:
            rate.step()
    torch.testing.assert_close(ours[1], its[1], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(ours[0], its[0], rtol=0, atol=4 * 0.01 * 2**-8)  # bfloat16's means
    assert not torch.allclose(ours[0], start, atol=0.01)


def test_the_second_moment_is_of_rows_and_columns(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("franken.training.adafactor._CACHED_WEIGHTS", 8)  # blocks of two rows
    table = nn.Parameter(torch.zeros(5, 4))
    optimizer = Adafactor([{"params": [table]}], **OPTIONS)
    table.grad = draw(5, 4, seed=3)
    optimizer.step()  # of the first step the corrected means are those of the gradient itself
    squares = table.grad.square()
    moment = squares.mean(1, keepdim=True) * squares.mean(0) / squares.mean()
    torch.testing.assert_close(table.detach(), -0.01 * table.grad / moment.sqrt())
    state = optimizer.state[table]
    assert (state["mean"].dtype, len(state["rows"]), len(state["columns"])) == (
        torch.bfloat16, 5, 4,
    )  # fmt: skip


def test_what_has_no_gradient_stays():
    table = nn.Parameter(draw(5, 4, seed=0))
    start = table.detach().clone()
    optimizer = Adafactor([{"params": [table]}], **OPTIONS)
    table.grad = torch.zeros(5, 4)
    optimizer.step()
    assert torch.equal(table, start)
    table.grad[2] = 1.0
    optimizer.step()
    assert (table != start).any(1).tolist() == [False, False, True, False, False]


def test_it_goes_on_from_a_checkpoint_with_the_same_bits():
    settings = TrainingConfig(optimizer=OptimizerName.adafactor, lr=0.01)
    whole, table, _ = moved_and_resumed(draw(8, 4, seed=0), settings, steps=4, stop=2)
    assert torch.equal(table, whole)
    with raises(CompatibilityError, "adafactor", "fsdp"):
        make_optimizer([], [nn.Parameter(table)], settings, fused=True, sharded=True)


def test_a_table_learns_by_it(tmp_path):
    config = TrainingConfig(
        steps=15, batch_size=4, sequence_length=16, lr=1e-2, optimizer=OptimizerName.adafactor
    )
    report = train_model(
        tiny_model("gemma2"), None, TinyData(config), config, Trainable.embeddings, CPU,
        work_dir=tmp_path, seed=0,
    )  # fmt: skip
    assert report.final_loss < report.curve[0]["loss"] - 0.1
