"""Options of the trainer that change how a model is run, not what it learns."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from franken.config.trainer import Precision, TrainerConfig
from franken.config.training import Trainable, TrainingConfig
from franken.errors import ConfigError
from franken.training.runner import train_model
from tests.faults import raises
from tests.training.tiny import CPU, TinyData, tiny_model

SETTINGS = TrainingConfig(steps=3, batch_size=4, sequence_length=16, lr=1e-2)


def losses(folder: Path, model: nn.Module, trainer: TrainerConfig) -> list[float]:
    report = train_model(
        model, None, TinyData(SETTINGS), SETTINGS, Trainable.embeddings, trainer,
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
    ],
)
def test_what_does_not_go_together_is_a_fault(options, key):
    assert [fault for fault, _ in TrainerConfig(**options).faults()] == [key]
