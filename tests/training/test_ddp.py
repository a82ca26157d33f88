"""Two processes that a training starts, with a copy of the model each, make the steps of one."""

from dataclasses import replace

import pytest
import torch

from franken.config.training import Trainable, TrainingConfig
from franken.training.runner import train_model
from tests.training.tiny import CPU, TinyData, tiny_model

pytestmark = pytest.mark.slow

TWO = replace(CPU, name="ddp", strategy="ddp", devices=2)
SETTINGS = TrainingConfig(
    steps=4, batch_size=8, sequence_length=16, accumulate=2, lr=1e-2, validate_every=2
)


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")
def test_two_processes_end_with_the_weights_of_one(tmp_path):
    found = []
    for trainer in (CPU, TWO):
        model = tiny_model("llama")
        report = train_model(
            model, None, TinyData(SETTINGS), SETTINGS, Trainable.embeddings, trainer,
            work_dir=tmp_path / trainer.name, seed=0,
        )  # fmt: skip
        found.append((report, model.state_dict()))
    (one, alone), (two, shared) = found
    assert [p["loss"] for p in two.curve] == pytest.approx([p["loss"] for p in one.curve], rel=1e-5)
    losses = [[p["loss"] for p in report.validation] for report in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert (two.tokens, two.best_step) == (one.tokens, one.best_step)
    for name, value in alone.items():
        torch.testing.assert_close(shared[name], value, rtol=1e-3, atol=1e-5)
