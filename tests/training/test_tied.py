"""Rows of a tied table against autograd's own lookup."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from franken.config.training import Trainable, TrainingConfig
from franken.training import CausalModule, chunked_linear_cross_entropy, train_model
from franken.training.tied import is_shared, look_up
from tests.training.tiny import CPU, TinyData, tiny_model


def gradient(shared: bool, *, padding: int | None, passes: int, with_head: bool) -> Tensor:
    torch.manual_seed(0)
    table, body = nn.Embedding(50, 8, padding_idx=padding), nn.Linear(8, 8)
    for _ in range(passes):
        ids = torch.randint(0, 50, (2, 40))
        states = torch.tanh(body(look_up(table, ids) if shared else table(ids))).flatten(0, 1)
        labels = ids.flatten()
        loss = (
            chunked_linear_cross_entropy(states, table.weight, labels, chunk_tokens=16)
            if with_head
            else states.square().sum()
        )
        (0.3 * loss).backward()
    assert table.padding_idx == padding
    assert table.weight.grad is not None
    return table.weight.grad


@pytest.mark.parametrize("with_head", [True, False])
@pytest.mark.parametrize(("padding", "passes"), [(None, 1), (3, 3)])
def test_the_gradient_has_the_bits_of_two_tables_added(padding, passes, with_head):
    ours, plain = (
        gradient(way, padding=padding, passes=passes, with_head=with_head) for way in (True, False)
    )
    assert torch.equal(ours, plain)


def test_only_a_table_that_trains_and_is_both_sides_is_shared():
    tied, apart = nn.Embedding(4, 2), nn.Linear(2, 4, bias=False)
    assert not is_shared(tied, apart)
    assert not is_shared(tied, None)
    apart.weight = tied.weight
    assert is_shared(tied, apart)
    tied.weight.requires_grad_(False)
    assert not is_shared(tied, apart)


def test_no_gradient_of_the_step_before_is_left_when_the_loss_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[bool] = []
    plain = CausalModule.summed_loss

    def watched(module: CausalModule, batch: Any) -> Tensor:
        if module.training:
            found.append(module.model.get_input_embeddings().weight.grad is None)
        return plain(module, batch)

    monkeypatch.setattr(CausalModule, "summed_loss", watched)
    config = TrainingConfig(steps=2, batch_size=4, accumulate=2, sequence_length=16)
    train_model(
        tiny_model("gemma2"), None, TinyData(config), config, Trainable.embeddings, CPU,
        work_dir=tmp_path, seed=0,
    )  # fmt: skip
    assert found == [True, False, True, False]
