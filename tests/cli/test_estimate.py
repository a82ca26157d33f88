"""What ``--estimate`` says: counts of known models, of built ones, and by hand."""

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from franken.__main__ import _estimate
from franken.config.training import BodyType, OptimizerName, Trainable, TrainingConfig
from franken.estimate import SHAPES, Shape, estimate

SMALL = Shape(
    rows=1000, width=64, layers=3, inner=128, heads=4, kv_heads=2, head_dim=16, tied=False
)


def test_parameters_are_those_of_the_published_models():
    counts = {name: shape.body + shape.table for name, shape in SHAPES.items()}
    assert counts["1B"] == 1_235_814_400
    assert counts["8B"] == 8_030_261_248
    assert counts["27B"] == pytest.approx(27_227_128_320, rel=1e-4)  # it has four norms a layer


@pytest.mark.parametrize("tied", [True, False])
def test_counts_are_those_of_the_model_that_transformers_builds(tied):
    config = LlamaConfig(
        vocab_size=1000, hidden_size=64, num_hidden_layers=3, intermediate_size=128,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=tied,
    )  # fmt: skip
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shape = Shape.of_config(config)
    assert shape.body + shape.table == sum(p.numel() for p in model.parameters())
    assert shape.table == 1000 * 64 * (1 if tied else 2)


def test_weights_and_optimiser_by_hand():
    training = TrainingConfig(
        steps=10, batch_size=4, sequence_length=8, accumulate=2, loss_chunk_tokens=4,
        body_dtype=BodyType.bfloat16,
    )  # fmt: skip
    found = estimate(SMALL, Trainable.embeddings, training)
    table = 2 * 1000 * 64
    assert (found.frozen, found.trained) == (2 * SMALL.body, 4 * table)
    assert (found.gradients, found.optimiser) == (4 * table, 8 * table)
    assert found.logits == 3 * 4 * 4 * 1000
    assert found.tokens == 320
    assert found.activations == 16 * SMALL.kept_per_token * 3 * 4
    # forward and back through all products, and gradients of the head alone
    assert found.operations == 320 * (4 * (SMALL.body + 64_000) + 2 * 64_000)
    full = estimate(SMALL, Trainable.full, training)
    assert full.operations == 320 * 6 * (SMALL.body + 64_000)
    few = TrainingConfig(body_dtype=BodyType.int8, optimizer=OptimizerName.adamw8bit)
    found = estimate(SMALL, Trainable.lora, few)
    assert found.frozen == SMALL.body + 4 * table
    assert found.optimiser == 2 * found.trained / 4
    assert estimate(SMALL, Trainable.body, few).frozen == 4 * table
    # query, key and value of each place enter the products, and no row of the table trains
    mixed = estimate(SMALL, Trainable.fusion, training)
    assert mixed.operations == 320 * (4 * (SMALL.body + 64_000) + 2 * 3 * 3 * 64**2)
    away = estimate(SMALL, Trainable.embeddings, training, offload=True)
    assert away.frozen == 2 * (SMALL.body // 3)
    assert away.activations == 16 * (64 * 3 + SMALL.kept_per_token) * 4
    shared = estimate(SMALL, Trainable.full, training, processes=4, sharded=True)
    assert shared.optimiser == full.optimiser // 4


def test_the_command_estimates_the_trainings_of_a_job_and_starts_nothing(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert _estimate(["+experiment=quickstart"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [
        "base",
        "instruct",
        "adapted",
        "franken_lora",
    ]
    assert list(tmp_path.iterdir()) == []
    assert _estimate(["vocab=no_such"]) == 2


def test_a_model_that_is_not_at_hand_is_said_to_be_so(capsys):
    assert _estimate(["base_model=aya23_8b", "trainer=cpu"]) == 0
    assert "not at hand" in capsys.readouterr().out
    assert _estimate(["base_model=gemma2_27b"]) == 0
    assert "adapted" in capsys.readouterr().out
