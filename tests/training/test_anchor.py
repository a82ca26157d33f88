"""The pull towards the weights at the start (EWC with equal importances)."""

import pytest
import torch

from franken.config.training import Trainable, TrainingConfig
from franken.training.runner import train_model
from tests.training.tiny import CPU, TinyData, tiny_model


def distance(anchor, tmp_path, steps=12):
    model = tiny_model("llama")
    before = [p.detach().clone() for p in model.parameters()]
    settings = TrainingConfig(
        steps=steps, batch_size=4, sequence_length=16, lr=1e-2, grad_clip=0.0, anchor=anchor
    )
    folder = tmp_path / str(anchor)
    train_model(
        model, None, TinyData(settings), settings, Trainable.body, CPU, work_dir=folder, seed=0
    )
    pairs = zip(before, model.parameters(), strict=True)
    return float(sum((b - p.detach()).square().sum() for b, p in pairs)) ** 0.5


def test_a_stronger_pull_keeps_the_weights_closer(tmp_path):
    free, weak, strong = (distance(anchor, tmp_path) for anchor in (0.0, 0.3, 30.0))
    assert strong < weak < free
    assert strong < 0.6 * free


def test_the_first_step_is_the_same_as_there_is_nothing_to_pull_at(tmp_path):
    assert distance(0.0, tmp_path, steps=1) == pytest.approx(distance(5.0, tmp_path, steps=1))
    assert torch.isfinite(torch.tensor(distance(1e6, tmp_path)))
