"""Options of the trainer that change how a model is run, not what it learns."""

import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from franken.config.trainer import Precision, TrainerConfig
from franken.config.training import BodyType, Trainable, TrainingConfig
from franken.errors import ConfigError
from franken.training import offload
from franken.training.runner import train_model
from tests.faults import raises
from tests.training.tiny import CPU, TinyData, tiny_model

SETTINGS = TrainingConfig(steps=3, batch_size=4, sequence_length=16, lr=1e-2)


def losses(
    folder: Path, model: nn.Module, trainer: TrainerConfig, settings: TrainingConfig = SETTINGS,
    trainable: Trainable = Trainable.embeddings,
) -> list[float]:  # fmt: skip
    report = train_model(
        model, None, TinyData(settings), settings, trainable, trainer,
        work_dir=folder, seed=0,
    )  # fmt: skip
    return [point["loss"] for point in report.curve]


@pytest.mark.parametrize(("before", "attention"), [("sdpa", "eager"), ("eager", "sdpa")])
def test_another_attention_learns_the_same_and_is_put_back(tmp_path, before, attention):
    expected = losses(tmp_path / "plain", tiny_model("llama"), CPU)
    model = tiny_model("llama")
    model.set_attn_implementation(before)
    asked: list[str] = []

    def note(body, args):  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():  # a step
            asked.append(body.config._attn_implementation)

    model.model.register_forward_pre_hook(note)
    found = losses(tmp_path / "other", model, replace(CPU, attention=attention))
    assert found == pytest.approx(expected, rel=1e-5)
    assert set(asked) == {attention}
    assert model.config._attn_implementation == before


def test_attention_that_would_compute_something_else_is_refused(tmp_path):
    """Gemma 2 bounds its scores, which sdpa leaves out."""
    with raises(ConfigError, "trainer.attention"):
        losses(tmp_path, tiny_model("gemma2"), replace(CPU, attention="sdpa"))


def test_attention_whose_package_is_absent_is_refused(tmp_path):
    trainer = replace(CPU, attention="flash_attention_2", precision=Precision.bf16_mixed)
    with raises(ConfigError, "trainer.attention"):
        losses(tmp_path, tiny_model("llama"), trainer)


def test_a_compiled_body_learns_the_same_and_is_put_back(tmp_path, monkeypatch):
    expected = losses(tmp_path / "plain", tiny_model("llama"), CPU)
    asked: list[str] = []

    def compiled(call, *, backend):  # type: ignore[no-untyped-def]
        """Traced code takes seconds; what is asked for, and that it is called, shows here."""

        def run(*args, **kwargs):  # type: ignore[no-untyped-def]
            asked.append(backend)
            return call(*args, **kwargs)

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    model = tiny_model("llama")
    found = losses(tmp_path / "compiled", model, replace(CPU, compile="inductor"))
    assert found == expected
    assert set(asked) == {"inductor"}
    assert model.model._compiled_call_impl is None


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"attention": "paged"}, "attention"),
        ({"attention": "flash_attention_2"}, "attention"),
        ({"compile": "inductor", "strategy": "fsdp"}, "compile"),
        ({"offload": True, "devices": 2}, "offload"),
        ({"offload": True, "compile": "inductor"}, "offload"),
    ],
)
def test_what_does_not_go_together_is_a_fault(options, key):
    assert [fault for fault, _ in TrainerConfig(**options).faults()] == [key]


@pytest.mark.parametrize("trainable", [Trainable.embeddings, Trainable.lora])
def test_a_body_that_waits_elsewhere_comes_layer_by_layer(tmp_path, monkeypatch, trainable):
    wanted = replace(SETTINGS, activation_checkpointing=True)
    plain, model = tiny_model("gemma3_text"), tiny_model("gemma3_text")
    in_layer = len(list(model.model.layers[0].parameters()))
    expected = losses(tmp_path / "plain", plain, CPU, wanted, trainable)
    arrived: list[weakref.ref[Any]] = []
    most, between = 0, set()

    def bring(weight, device):  # type: ignore[no-untyped-def]
        """A copy, as to another device, that can be counted while anything refers to it."""
        nonlocal most
        copy = weight.numpy().copy()
        arrived.append(weakref.ref(copy))
        most = max(most, sum(one() is not None for one in arrived))
        return torch.from_numpy(copy)

    def look(*_):  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():  # a step
            between.update(p.numel() for p in model.model.layers.parameters()
                           if not p.requires_grad)  # fmt: skip

    monkeypatch.setattr(offload, "bring", bring)
    model.model.norm.register_forward_pre_hook(look)
    trainer = replace(CPU, offload=True)
    assert losses(tmp_path / "away", model, trainer, SETTINGS, trainable) == expected
    passes = 2 * SETTINGS.steps + 2  # forward and backward; two batches of validation
    assert len(arrived) == passes * in_layer * len(model.model.layers)
    assert most == in_layer
    assert between == {0}
    for name, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def test_a_body_of_few_bits_does_not_wait_elsewhere(tmp_path):
    pytest.importorskip("bitsandbytes")
    settings = replace(SETTINGS, body_dtype=BodyType.nf4)
    with raises(ConfigError, "trainer.offload", "nf4"):
        losses(tmp_path, tiny_model("llama"), replace(CPU, offload=True), settings)
