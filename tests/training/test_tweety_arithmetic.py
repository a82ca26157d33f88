"""The published numbers of Tweety's schedule, from franken's options and on the meta device."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from transformers import MistralConfig, MistralForCausalLM

from franken.cli.check import to_config
from franken.cli.paths import config_dir
from franken.config.register import register_schemas
from franken.config.training import Trainable
from franken.training.policy import apply_policy

ALL = 7_241_732_096


@pytest.fixture(scope="module")
def schedules():
    register_schemas()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return to_config(compose("config", overrides=["training=tweety"])).training


@pytest.mark.parametrize(("phase", "tokens"), [("adaptation", 40_960_000), ("edges", 65_536_000)])
def test_tokens_of_each_phase(schedules, phase, tokens):
    found = getattr(schedules, phase)
    assert found.steps * found.batch_size * found.sequence_length == tokens


@pytest.mark.parametrize(
    ("trainable", "phase", "count"),
    [
        (Trainable.embeddings, "adaptation", 262_144_000),
        (Trainable.embeddings_and_edge_layers, "edges", 1_134_592_000),
        (Trainable.full, "edges", ALL),
    ],
)
def test_trained_parameters_of_mistral_7b(schedules, trainable, phase, count):
    config = MistralConfig(
        vocab_size=32_000, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.device("meta"):
        model = MistralForCausalLM(config)
    report = apply_policy(model, trainable, getattr(schedules, phase))
    assert report.trained_parameters == count
    assert report.all_parameters == ALL
