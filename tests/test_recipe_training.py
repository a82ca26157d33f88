"""What a step asks for and its trainer, or its kind of model, does not do is said in advance."""

import pytest

from franken.cli.check import config_faults
from franken.recipe_checkpoints import checkpoint_faults
from tests.composing import compose_config

FEW_BITS = "training.adaptation.body_dtype=nf4"
DISTILLED = (
    "base_model=checkpoint", "base_model.path=DIR", "data.root=DIR", "+experiment=real/distilled",
)  # fmt: skip

PAIRED = ("+experiment=neighbours/middle_alignment", "recipe.evaluate=[aligned]")


@pytest.mark.parametrize(
    ("trainer", "asked", "key"),
    [
        (["trainer.offload=true"], [FEW_BITS], "adapted.training.body_dtype"),
        (["trainer.strategy=fsdp"], [FEW_BITS], "adapted.training.body_dtype"),
        (["trainer.strategy=fsdp"], ["training.adaptation.ahead=1"], "adapted.training.ahead"),
        (["trainer.strategy=fsdp"], DISTILLED, "distilled.distillation"),
        (["trainer.compile=inductor"], PAIRED, "aligned.pair_loss"),
    ],
)
def test_what_a_trainer_does_not_do_is_refused_before_any_step(
    trainer: list[str], asked: list[str], key: str
) -> None:
    keys = {
        name: {fault.key for fault in config_faults(compose_config(*asked, *more))}
        for name, more in (("with", trainer), ("without", []))
    }
    assert keys["with"] - keys["without"] == {f"recipe.steps.{key}"}


def test_what_only_causal_models_do_is_refused_for_masked_ones_before_any_step() -> None:
    ahead = "training.adaptation.ahead=1"
    config = compose_config("recipe=encoder", "base_model=tiny_xlmr", ahead)
    assert {fault.key for fault in checkpoint_faults(config)} == {
        f"recipe.steps.{step}.training.ahead" for step in ("table", "whole", "old_vocabulary")
    }
    causal = compose_config("recipe=franken_adapter", "base_model=tiny_llama", ahead)
    assert checkpoint_faults(causal) == []
