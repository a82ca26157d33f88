"""LoRA on the first and last layers alone (LayRA)."""

import pytest
import torch

from franken.config.training import LoraConfig, Trainable, TrainingConfig
from franken.errors import ConfigError
from franken.training.policy import apply_policy
from tests.faults import raises
from tests.training.tiny import tiny_model


def layers_with_adapters(family="llama", **lora):
    model = tiny_model(family)
    settings = TrainingConfig(lora=LoraConfig(rank=2, **lora))
    names = apply_policy(model, Trainable.lora, settings).names
    return model, {int(part) for name in names for part in name.split(".") if part.isdigit()}


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(None, None, {0, 1, 2}), (1, 1, {0, 2}), (2, None, {0, 1}), (None, 1, {2}), (2, 1, {0, 1, 2})],
)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_only_the_layers_at_the_ends_get_one(family, first, last, expected):
    assert layers_with_adapters(family, first=first, last=last)[1] == expected


def test_the_layers_between_are_the_models_own_objects():
    model, _ = layers_with_adapters(first=1, last=1)
    plain = tiny_model("llama")
    own, theirs = model.model.layers[1].state_dict(), plain.model.layers[1].state_dict()
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[name], theirs[name]) for name in own)


def test_more_layers_than_there_are_and_none_are_refused():
    with raises(ConfigError, "lora.first=3", "lora.last=1", 3):
        layers_with_adapters(first=3, last=1)
    assert [key for key, _ in LoraConfig(first=0, last=0).faults()] == ["first"]
