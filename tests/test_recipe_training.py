"""What a step asks for and its trainer, or its kind of model, does not do is said in advance."""

from dataclasses import replace

import pytest

from franken.cli.check import config_faults
from franken.config.trainer import TrainerConfig
from franken.config.training import BodyType, Trainable, TrainingConfig
from franken.distillation.alm import Alm
from franken.recipe_checkpoints import checkpoint_faults
from franken.recipe_training import training_faults
from franken.steps.train import TrainStep
from tests.composing import compose_config

FEW_BITS = TrainStep(model="base", training=TrainingConfig(body_dtype=BodyType.nf4))
AHEAD = TrainStep(model="base", training=TrainingConfig(ahead=1))
TAUGHT = TrainStep(model="base", teacher="base", distillation=Alm())


@pytest.mark.parametrize(
    ("trainer", "step", "place"),
    [
        ({"offload": True}, FEW_BITS, "training.body_dtype"),
        ({"strategy": "fsdp"}, FEW_BITS, "training.body_dtype"),
        ({"strategy": "fsdp"}, AHEAD, "training.ahead"),
        ({"strategy": "fsdp"}, TAUGHT, "distillation"),
        ({}, FEW_BITS, None),
        ({"offload": True}, AHEAD, None),
        # nothing is frozen, so nothing has few bits
        ({"offload": True}, replace(FEW_BITS, trainable=Trainable.full), None),
    ],
)
def test_what_a_trainer_does_not_do(trainer: dict, step: TrainStep, place: str | None) -> None:
    found = training_faults({"tuned": step}, TrainerConfig(name="cpu", **trainer))
    assert [key for key, _ in found] == ([f"recipe.steps.tuned.{place}"] if place else [])


def test_it_is_refused_before_any_step_of_a_recipe() -> None:
    ahead = "training.adaptation.ahead=1"
    config = compose_config("recipe=encoder", "base_model=tiny_xlmr", ahead)
    steps = {f"recipe.steps.{name}.training.ahead" for name in ("table", "whole", "old_vocabulary")}
    assert {fault.key for fault in checkpoint_faults(config)} == steps  # masked
    config.trainer.strategy = "fsdp"
    assert steps <= {fault.key for fault in config_faults(config)}
    causal = compose_config("recipe=franken_adapter", "base_model=tiny_llama", ahead)
    assert checkpoint_faults(causal) == []
