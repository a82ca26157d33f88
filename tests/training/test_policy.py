"""What trains, in which format, and in which mode."""

import re

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from franken.config.training import (
    BodyType,
    EmbeddingSides,
    LoraConfig,
    Trainable,
    TrainingConfig,
)
from franken.errors import CompatibilityError, ConfigError
from franken.training.policy import apply_policy, frozen_dtype
from tests.faults import raises
from tests.training.tiny import tiny_model

TIED = {"tie_word_embeddings": True}


def trained(model: PreTrainedModel, trainable: Trainable, **changes: object) -> set[str]:
    config = TrainingConfig(**changes)  # type: ignore[arg-type]
    apply_policy(model, trainable, config)
    return {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("family", "changes", "expected"),
    [
        ("gemma2", {}, {"model.embed_tokens.weight"}),
        ("llama", {}, {"model.embed_tokens.weight", "lm_head.weight"}),
        ("llama", TIED, {"model.embed_tokens.weight"}),
        ("gpt2", {}, {"transformer.wte.weight"}),
        ("gpt_neox", {}, {"gpt_neox.embed_in.weight", "lm_head.weight"}),
    ],
)
def test_embeddings_are_both_tables_and_nothing_else(family, changes, expected):
    if family == "gpt_neox":
        changes = {"tie_word_embeddings": False}
    assert trained(tiny_model(family, **changes), Trainable.embeddings) == expected


def test_a_head_bias_counts_as_an_embedding():
    model = tiny_model("llama")
    model.lm_head.bias = torch.nn.Parameter(torch.zeros(48))
    assert "lm_head.bias" in trained(model, Trainable.embeddings)
    assert "lm_head.bias" not in trained(model, Trainable.body)


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        (EmbeddingSides.input, {"model.embed_tokens.weight"}),
        (EmbeddingSides.output, {"lm_head.weight"}),
    ],
)
def test_sides_choose_among_untied_tables(sides, expected):
    assert trained(tiny_model("llama"), Trainable.embeddings, sides=sides) == expected


@pytest.mark.parametrize("sides", list(EmbeddingSides))
def test_a_tied_table_is_every_side(sides):
    model = tiny_model("gemma2")
    assert trained(model, Trainable.embeddings, sides=sides) == {"model.embed_tokens.weight"}


@pytest.mark.parametrize("family", ["gemma2", "llama"])
def test_body_is_the_complement_of_embeddings(family):
    everything = {name for name, _ in tiny_model(family).named_parameters()}
    body = trained(tiny_model(family), Trainable.body)
    tables = trained(tiny_model(family), Trainable.embeddings)
    assert body | tables == everything
    assert not body & tables
    assert trained(tiny_model(family), Trainable.full) == everything


def test_edge_layers_join_the_embeddings():
    names = trained(tiny_model("llama"), Trainable.embeddings_and_edge_layers)
    layers = {name.split(".")[2] for name in names if ".layers." in name}
    assert layers == {"0", "2"}
    assert {"model.embed_tokens.weight", "lm_head.weight"} <= names
    assert "model.norm.weight" not in names


def test_edge_layers_that_cover_the_model_are_refused():
    with raises(ConfigError, "edge_layers", 2, 1):
        trained(tiny_model("llama"), Trainable.embeddings_and_edge_layers, edge_layers=2)


@pytest.mark.parametrize(
    ("family", "per_layer"),
    [("gemma2", 4), ("llama", 4), ("gpt2", 2), ("gpt_neox", 2), ("xglm", 4)],
)
def test_lora_adapts_every_attention_projection_once(family, per_layer):
    names = trained(tiny_model(family), Trainable.lora, lora=LoraConfig(rank=2))
    assert all("lora_" in name for name in names)
    assert len(names) == 3 * per_layer * 2  # layers x modules x (A, B)


@pytest.mark.parametrize(
    ("family", "targets", "modules"),
    [
        ("llama", ["gate", "up", "down"], {"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}),
        ("llama", ["q", "down"], {"self_attn.q_proj", "mlp.down_proj"}),
        ("gpt2", ["gate", "up", "down"], {"mlp.c_fc", "mlp.c_proj"}),  # it has no gate
        ("gpt_neox", ["up"], {"mlp.dense_h_to_4h"}),
    ],
)
def test_lora_adapts_the_feed_forward_layers_that_are_named(family, targets, modules):
    names = trained(tiny_model(family), Trainable.lora, lora=LoraConfig(rank=2, targets=targets))
    paths = {re.split(r"\.\d+\.", name, maxsplit=1)[1].split(".lora_")[0] for name in names}
    assert paths == modules
    assert len(names) == 3 * len(modules) * 2


def test_roles_that_a_family_lacks_altogether_are_refused():
    with raises(CompatibilityError, "gate", "q, k, v, o, up, down"):
        trained(tiny_model("gpt2"), Trainable.lora, lora=LoraConfig(targets=["gate"]))
    assert [key for key, _ in LoraConfig(targets=["q", "experts"]).faults()] == ["targets"]


def test_lora_and_embeddings_train_both_and_nothing_else():
    model = tiny_model("llama")
    report = apply_policy(model, Trainable.lora_and_embeddings, TrainingConfig())
    rows = [name for name in report.names if "lora_" not in name]
    assert len(report.names) == 3 * 4 * 2 + len(rows)
    assert [name.rpartition("model.")[2] for name in rows] == [
        "embed_tokens.weight",
        "lm_head.weight",
    ]
    assert (
        report.frozen_rows
        == apply_policy(tiny_model("llama"), Trainable.embeddings, TrainingConfig()).frozen_rows
    )
    one = apply_policy(
        tiny_model("llama"), Trainable.lora_and_embeddings,
        TrainingConfig(sides=EmbeddingSides.output),
    )  # fmt: skip
    assert [n.rpartition("model.")[2] for n in one.names if "lora_" not in n] == ["lm_head.weight"]


def test_lora_starts_as_the_identity_and_from_its_seed_alone():
    model, plain = tiny_model("gpt2"), tiny_model("gpt2")
    ids = torch.arange(5, 15)[None]
    torch.manual_seed(1)
    apply_policy(model, Trainable.lora, TrainingConfig(lora=LoraConfig(rank=2)), seed=5)
    again = tiny_model("gpt2")
    torch.manual_seed(2)
    apply_policy(again, Trainable.lora, TrainingConfig(lora=LoraConfig(rank=2)), seed=5)
    torch.testing.assert_close(model(ids).logits, plain(ids).logits)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_model_with_adapters_is_refused():
    model = tiny_model("llama")
    trained(model, Trainable.lora)
    with raises(CompatibilityError, "model.layers.0.self_attn.q_proj.lora_A.default.weight"):
        trained(model, Trainable.embeddings)


def test_trained_weights_are_float32_and_frozen_ones_take_the_body_dtype():
    model = tiny_model("gemma2").to(torch.bfloat16)
    apply_policy(model, Trainable.embeddings, TrainingConfig(), body_dtype=torch.bfloat16)
    kinds = {name: p.dtype for name, p in model.named_parameters()}
    assert kinds.pop("model.embed_tokens.weight") == torch.float32
    assert set(kinds.values()) == {torch.bfloat16}
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_dropout_is_active_only_where_something_trains():
    model = tiny_model("gpt2")
    apply_policy(model, Trainable.embeddings, TrainingConfig())
    on = [name for name, m in model.named_modules() if m.training]
    assert on == ["transformer.wte", "lm_head"]
    model = tiny_model("gpt2")
    apply_policy(model, Trainable.lora, TrainingConfig(lora=LoraConfig(rank=2, dropout=0.5)))
    dropouts = [
        (n, m.training) for n, m in model.named_modules() if isinstance(m, torch.nn.Dropout)
    ]
    assert dropouts
    assert all(training == ("lora" in name) for name, training in dropouts)
    model = tiny_model("gpt2")
    apply_policy(model, Trainable.full, TrainingConfig())
    assert all(m.training for m in model.modules())


def test_the_padding_row_is_kept_unless_it_ends_texts():
    report = apply_policy(tiny_model(), Trainable.embeddings, TrainingConfig())
    assert report.frozen_rows == [0]
    shared = tiny_model(pad_token_id=2)
    assert apply_policy(shared, Trainable.embeddings, TrainingConfig()).frozen_rows == []


def test_control_rows_are_kept_when_asked():
    config = TrainingConfig(freeze_special_rows=True)
    report = apply_policy(tiny_model(), Trainable.full, config, special_rows=[1, 2, 40])
    assert report.frozen_rows == [0, 1, 2, 40]
    report = apply_policy(tiny_model(), Trainable.body, config, special_rows=[1, 2, 40])
    assert report.frozen_rows == []


def test_automatic_body_dtype_is_float32_on_a_cpu():
    assert frozen_dtype(BodyType.auto, "cpu", True) == torch.float32
    assert frozen_dtype(BodyType.bfloat16, "cpu", False) == torch.bfloat16
    assert frozen_dtype(BodyType.float32, "cuda", True) == torch.float32


def hybrid(kinds: list[str]) -> PreTrainedModel:
    """Layers that attend, and layers of linear attention without q, k, v, o."""
    config = AutoConfig.for_model(
        "qwen3_next", vocab_size=48, hidden_size=16, intermediate_size=24, head_dim=8,
        num_hidden_layers=len(kinds), num_attention_heads=2, num_key_value_heads=1,
        layer_types=kinds, mlp_only_layers=list(range(len(kinds))), linear_num_key_heads=1,
        linear_num_value_heads=1, linear_key_head_dim=8, linear_value_head_dim=8, pad_token_id=0,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config)


def test_lora_adapts_the_layers_that_attend_wherever_they_stand(caplog):
    model = hybrid(["linear_attention", "full_attention", "linear_attention"])
    names = trained(model, Trainable.lora)
    adapted = {name.split(".layers.")[1].split(".lora_")[0] for name in names}
    assert adapted == {f"1.self_attn.{role}_proj" for role in "qkvo"}
    assert "2 of 3 layers" in caplog.text


def test_lora_stays_out_of_towers_beside_the_layers():
    model = tiny_model("llama")
    tower = tiny_model("llama").model.layers[0]
    model.model.add_module("vision_tower", tower)
    names = trained(model, Trainable.lora)
    assert names
    assert all(".layers." in name for name in names)
