"""What a signal or a crash costs: at most the step at hand, or the minutes since a checkpoint."""

import os
import signal

import pytest
import torch

from franken.config.training import Trainable, TrainingConfig
from franken.interruption import Interrupted
from franken.training.runner import train_model
from tests.training.tiny import CPU, TinyData, tiny_model


def train(folder, on_log=None, **changes):  # type: ignore[no-untyped-def]
    values = {"steps": 5, "batch_size": 4, "sequence_length": 16, "checkpoint_every": 100}
    settings = TrainingConfig(**{**values, **changes})
    model = tiny_model("gemma2")
    report = train_model(
        model, None, TinyData(settings), settings, Trainable.embeddings, CPU,
        work_dir=folder, seed=0, on_log=on_log,
    )  # fmt: skip
    return report, model.state_dict()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_ends_training_after_the_step_at_hand_and_the_bits_are_kept(tmp_path, number):
    def send(point: dict[str, float]) -> None:
        if point["step"] == 2:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught:
        train(tmp_path, send)
    assert caught.value.number == number
    assert signal.getsignal(number) == before
    report, weights = train(tmp_path)
    assert report.resumed_at == 2
    alone, expected = train(tmp_path / "undisturbed")
    assert report.curve == alone.curve
    for name, value in expected.items():
        assert torch.equal(weights[name], value), name


def test_a_signal_at_the_last_step_comes_too_late(tmp_path):
    def send(point: dict[str, float]) -> None:
        if point["step"] == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(tmp_path, send)[0].steps == 5


@pytest.mark.parametrize(("minutes", "resumed_at"), [(1e-9, 2), (0.0, 0), (10.0, 0)])
def test_a_checkpoint_is_due_by_time_beside_steps(tmp_path, minutes, resumed_at):
    class Crash(Exception):
        pass

    def crash(point: dict[str, float]) -> None:
        if point["step"] == 3:
            raise Crash

    with pytest.raises(Crash):
        train(tmp_path, crash, checkpoint_minutes=minutes)
    assert train(tmp_path)[0].resumed_at == resumed_at
