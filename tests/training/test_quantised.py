"""Frozen bodies in 8 and 4 bits, and Adam's state in 8."""

import pytest
import torch
from torch import nn

from franken.config.training import (
    BodyType,
    LoraConfig,
    OptimizerName,
    Trainable,
    TrainingConfig,
)
from franken.errors import CompatibilityError
from franken.training.optimizers import make_optimizer
from franken.training.policy import apply_policy
from franken.training.runner import train_model
from tests.faults import raises
from tests.training.resuming import moved_and_resumed
from tests.training.tiny import CPU, TinyData, tiny_model

bitsandbytes = pytest.importorskip("bitsandbytes")


def config(body: BodyType = BodyType.float32, **changes) -> TrainingConfig:
    given = {"steps": 15, "batch_size": 4, "sequence_length": 16, "lr": 1e-2, **changes}
    return TrainingConfig(body_dtype=body, **given)


def train(model, settings, trainable, work_dir):
    return train_model(
        model, None, TinyData(settings), settings, trainable, CPU, work_dir=work_dir, seed=0
    )


def rounded(weight: torch.Tensor, body: BodyType) -> torch.Tensor:
    """What is left of a weight: LLM.int8() by its rule (rows of 127 steps), NF4 by the library."""
    if body is BodyType.int8:
        step = weight.abs().amax(1, keepdim=True) / 127
        return (weight / step).round() * step
    functional = bitsandbytes.functional
    return functional.dequantize_4bit(
        *functional.quantize_4bit(weight, compress_statistics=True, quant_type="nf4")
    )


@pytest.mark.parametrize(
    ("body", "apart"),
    [(BodyType.nf4, 1e-5), (BodyType.int8, 0.01)],  # int8 rounds what comes in, too
)
def test_a_table_learns_over_a_quantised_body(body, apart, tmp_path):
    model, wide = tiny_model("llama"), tiny_model("llama")
    with torch.no_grad():
        for module in wide.model.modules():
            if type(module) is nn.Linear:
                module.weight.copy_(rounded(module.weight, body))
    before = model.model.norm.weight.detach().clone()
    found = train(model, config(body), Trainable.embeddings, tmp_path / "few")
    plain = train(wide, config(), Trainable.embeddings, tmp_path / "wide")
    assert found.curve[0]["loss"] == pytest.approx(plain.curve[0]["loss"], rel=apart)
    assert found.final_loss < found.curve[0]["loss"] - 0.1
    assert found.policy["quantised"] == str(body)
    assert model.lm_head.weight.dtype == model.model.norm.weight.dtype == torch.float32
    assert torch.equal(model.model.norm.weight, before)
    weight = model.model.layers[0].mlp.up_proj.weight
    assert weight.dtype is (torch.uint8 if body is BodyType.nf4 else torch.int8)
    assert not weight.requires_grad


def test_lora_learns_over_a_quantised_body(tmp_path):
    model = tiny_model("llama")
    settings = config(BodyType.nf4, lora=LoraConfig(rank=2))
    report = train(model, settings, Trainable.lora, tmp_path)
    moved = [p for n, p in model.named_parameters() if "lora_B" in n]
    assert all(p.any() and p.dtype is torch.float32 for p in moved)
    attention = model.model.layers[0].self_attn.q_proj.base_layer
    assert attention.weight.dtype is torch.uint8
    assert report.final_loss < report.curve[0]["loss"]


def test_a_body_that_trains_stays_as_it_is_and_one_without_linear_layers_is_refused():
    report = apply_policy(tiny_model("llama"), Trainable.body, config(BodyType.int8))
    assert report.quantised is None
    assert set(report.to_json()) == set(
        apply_policy(tiny_model("llama"), Trainable.body, config()).to_json()
    )
    with raises(CompatibilityError, "body_dtype=nf4", "GPT2LMHeadModel"):
        apply_policy(tiny_model("gpt2"), Trainable.embeddings, config(BodyType.nf4))


def test_8_bit_adam_goes_on_with_the_same_bits():
    settings = config(optimizer=OptimizerName.adamw8bit)
    start = torch.randn(80, 64, generator=torch.Generator().manual_seed(0))
    whole, table, saved = moved_and_resumed(start, settings, steps=6, stop=3)
    assert saved["optimizer"]["table/state1"].dtype is torch.uint8
    assert torch.equal(table, whole)
    assert (table - start).abs().mean() > 0.01
    with raises(CompatibilityError, "adamw8bit", "fsdp"):
        make_optimizer([], [nn.Parameter(table)], settings, fused=True, sharded=True)


def test_8_bit_adam_by_runs_of_blocks_has_the_numbers_of_the_library(monkeypatch):
    monkeypatch.setattr("franken.training.quantised._RUN", 1024)
    ours, its = (nn.Parameter(torch.zeros(70, 64)) for _ in range(2))  # 17.5 blocks
    settings = config(optimizer=OptimizerName.adamw8bit)
    plain = bitsandbytes.optim.AdamW8bit(
        [its], lr=settings.lr, betas=tuple(settings.betas), eps=settings.eps, weight_decay=0.0
    )
    optimizer = make_optimizer([], [ours], settings, fused=True)
    for number in range(3):
        ours.grad = torch.randn(70, 64, generator=torch.Generator().manual_seed(number))
        its.grad = ours.grad.clone()
        optimizer.step()
        plain.step()
    assert torch.equal(ours, its)
    for name in ("state1", "state2", "absmax1", "absmax2"):
        assert torch.equal(optimizer.state[ours][name], plain.state[its][name])
    assert optimizer.state[ours]["step"] == 3
