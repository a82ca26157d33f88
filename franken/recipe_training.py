"""Faults of trainings: what a step asks for that the trainer, or its kind of model, does not do.

The runner refuses the same when it begins to train; here it is said before any step is run.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from franken.config.trainer import TrainerConfig
from franken.config.training import Trainable, TrainingConfig
from franken.pair_loss.base import pair_clash
from franken.steps.base import Step


def trainings(steps: Mapping[str, Step]) -> Iterator[tuple[str, Step, TrainingConfig]]:
    """Key, step and schedule of each step that trains."""
    for name, step in steps.items():
        training = getattr(step, "training", None)
        if isinstance(training, TrainingConfig):
            yield f"recipe.steps.{name}", step, training


def training_faults(steps: Mapping[str, Step], trainer: TrainerConfig) -> Iterator[tuple[str, str]]:
    """Key and message of what does not go with the trainer's options."""
    sharded = trainer.strategy == "fsdp"
    for key, step, training in trainings(steps):
        small = training.quantises(getattr(step, "trainable", Trainable.full))
        if small and (trainer.offload or sharded):
            other = "trainer.strategy=fsdp" if sharded else "trainer.offload"
            yield (
                f"{key}.training.body_dtype",
                f"is {training.body_dtype}, and {other} is there for weights of 16 or 32 bits; "
                "choose one of the two",
            )
        if sharded and training.ahead:
            yield f"{key}.training.ahead", "is not there for trainer.strategy=fsdp; set it to 0"
        if sharded and getattr(step, "distillation", None) is not None:
            yield (
                f"{key}.distillation",
                "reads the head's rows whole, so trainer.strategy=fsdp is not there for it; train "
                "on one device, or with trainer.strategy=auto",
            )
        if getattr(step, "pair_loss", None) is not None and (clash := pair_clash(trainer)):
            yield f"{key}.pair_loss", f"is there for {clash} alone; set it so, or leave pairs out"


def unmasked_wishes(step: Any, training: TrainingConfig) -> Iterator[tuple[str, str]]:
    """Field and message of what a masked language model cannot be tuned with."""
    taught = getattr(step, "distillation", None)
    for place, asked in (
        ("training.ahead", training.ahead),
        ("training.anchor_examples", training.anchor_examples),
        ("training.shield.share", training.shield.share),
        ("preference", getattr(step, "preference", None)),
        ("distillation", taught and not taught.by_layers),
    ):
        if asked:
            unset = "set it to 0" if place.startswith("training") else "leave it out"
            if place == "distillation":
                unset += ", or take one that compares layers (distillation=bistil)"
            yield place, f"is not there for masked language models; {unset}"
