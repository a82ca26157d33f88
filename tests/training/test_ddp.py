"""Two processes with a copy each make the steps of one."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from franken.config.preference import PreferenceConfig
from franken.config.training import Trainable, TrainingConfig
from franken.training.runner import train_model
from tests.composition.hydras import hydra
from tests.composition.test_hydra_training import PAIR, batch_of, encoder_of
from tests.training.pairs import PAIRS, pair_data, tiny_training
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


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")
def test_two_processes_share_the_pairs_of_preference_tuning(tmp_path):
    found = []
    settings = tiny_training(batch_size=4)
    for trainer in (CPU, TWO):
        model, folder = tiny_model("llama", vocab_size=200), tmp_path / trainer.name
        data = pair_data(folder, settings, held_out=PAIRS[:2])
        report = train_model(
            model, None, data, settings, Trainable.full, trainer, work_dir=folder, seed=0,
            preference=PreferenceConfig(beta=1.0),
        )  # fmt: skip
        found.append((report, model.state_dict()))
    (one, alone), (two, shared) = found
    assert [p["loss"] for p in two.curve] == pytest.approx([p["loss"] for p in one.curve], rel=1e-5)
    assert two.validation_loss == pytest.approx(one.validation_loss, rel=1e-5)
    for name, value in alone.items():
        torch.testing.assert_close(shared[name], value, rtol=1e-3, atol=1e-5)


class InTurn:
    """A table's own text for one process and a mixed pair for the other; then its own for both."""

    def __init__(self, batches: list[dict[str, torch.Tensor]]) -> None:
        self.batches = batches

    def prepare_data(self) -> None: ...
    def setup(self, stage: str | None = None) -> None: ...
    def val_dataloader(self) -> list[Any]:
        return []

    def train_dataloader(self) -> list[Any]:
        return self.batches

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")
def test_a_table_that_a_batch_leaves_out_holds_up_no_process(tmp_path):
    found = []
    settings = TrainingConfig(steps=4, batch_size=2, sequence_length=32, lr=1e-2)
    for trainer in (CPU, TWO):
        made, _ = hydra("llama", False)
        view = made.view("xx", ["en"], joint=True)
        own = PAIR._replace(prompt="paka juu :", read="xx")
        encoder = encoder_of(view)
        data = InTurn([batch_of(encoder.encode(turns)) for turns in ([own, PAIR], [own, own])])
        report = train_model(
            view.model, None, data, settings, Trainable.embeddings, trainer,
            work_dir=tmp_path / trainer.name, seed=0,
        )  # fmt: skip
        found.append((report, dict(made.named_parameters())))
    (one, alone), (two, shared) = found
    assert [p["loss"] for p in two.curve] == pytest.approx([p["loss"] for p in one.curve], rel=1e-5)
    for name, value in alone.items():
        torch.testing.assert_close(shared[name], value, rtol=1e-3, atol=1e-5)
