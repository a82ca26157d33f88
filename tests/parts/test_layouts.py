"""Known layouts: what they say is what discovery reads, and they count where tensors prove them."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from benchmarks.family_configs import tiny_random
from franken.families import layouts
from franken.families.layout_writing import layouts as read_layouts
from franken.files import read_json, write_json
from franken.parts.anatomy import anatomy_of
from franken.parts.checkpoint import Checkpoint
from franken.parts.disk_surgery import replace_tables_on_disk
from franken.parts.fingerprint import body_fingerprint
from franken.parts.table import save_table
from tests.parts.test_table import make_table
from tests.parts.tiny import save_checkpoint, tiny_model, tiny_tokenizer

MASKED = ("bert", "xlm-roberta", "deberta-v2", "distilbert")
CAUSAL = ("llama", "gemma3_text", "gpt2", "gpt_neox", "phi", "qwen2", "qwen3", "olmo2", "smollm3")


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "qwen2"])
def test_what_is_shipped_is_what_this_transformers_gives(family):
    """All of it: ``python -m franken.families --write`` leaves ``layouts.json`` as it is."""
    shipped = read_json(layouts.FILE)
    found = json.loads(json.dumps(dict(read_layouts(family))))
    assert found
    assert found == {name: shipped[name] for name in found}


@pytest.mark.parametrize("family", [*CAUSAL, *MASKED])
def test_a_known_layout_is_what_discovery_reads(family, tmp_path):
    model = tiny_random(family, rows=101)  # 96 is also the width of three fused projections
    model.save_pretrained(tmp_path)
    found = Checkpoint(tmp_path)
    assert found.layout is not None
    assert found.anatomy() == anatomy_of(found.config())
    assert found.tied() == model.config.tie_word_embeddings


def test_experts_and_models_inside_models_are_read_from_the_model(tmp_path):
    tiny_random("mixtral", rows=96).save_pretrained(tmp_path)
    assert Checkpoint(tmp_path).layout is None


CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


@pytest.fixture(scope="module")
def shapes():
    model = tiny_model("llama", tied=False, rows=100)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def test_a_plain_llama_is_known_and_its_width_is_that_of_its_rows(shapes):
    found = layouts.layout_of(CONFIG, shapes)
    assert found.anatomy.width == 16
    assert found.anatomy == replace(anatomy_of(tiny_model("llama").config), width=16)
    biased = {**shapes, "model.layers.0.self_attn.q_proj.bias": (16,)}
    assert layouts.layout_of(CONFIG, biased) is not None


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": None},
        {"architectures": 5},
        {"architectures": ["LlamaForCausalLM", "LlamaForCausalLM"]},
        {"tie_word_embeddings": None},
        {"architectures": ["LlamaForSequenceClassification"]},
        {"model_type": "mistral"},
        {"quantization_config": {"quant_method": "bitsandbytes"}},
        {"auto_map": {"AutoModelForCausalLM": "modeling.Own"}},
        {"text_config": {"model_type": "llama"}},
        {"is_encoder_decoder": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_config_is_left_to_transformers(shapes, config):
    assert layouts.layout_of({**CONFIG, **config}, shapes) is None


def _without(name):
    return lambda shapes: {key: shape for key, shape in shapes.items() if key != name}


@pytest.mark.parametrize(
    "change",
    [
        _without("model.embed_tokens.weight"),
        _without("model.norm.weight"),
        _without("model.layers.1.mlp.up_proj.weight"),
        lambda shapes: {**shapes, "lm_head.weight": (99, 16)},
        lambda shapes: {**shapes, "lm_head.bias": (100,)},
        lambda shapes: {**shapes, "model.embed_tokens_per_layer.weight": (100, 4)},
        lambda shapes: {**shapes, "model.layers.0.self_attn.q_norm.weight": (4,)},
        lambda shapes: {**shapes, "model.layers.1.mlp.up_proj.weight": (100, 16)},
        lambda shapes: {f"base_model.{name}": shape for name, shape in shapes.items()},
    ],
    ids=["no_table", "no_norm", "layers_differ", "other_rows", "head_bias", "rows_elsewhere",
         "one_more", "as_long_as_the_table", "prefix"],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_left_to_the_model(shapes, change):
    assert layouts.layout_of(CONFIG, change(shapes)) is None


def test_an_untied_bert_and_facts_from_outside_are_left_to_the_model(monkeypatch, shapes):
    model = tiny_random("bert", rows=96)
    bert = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    config = {"architectures": ["BertForMaskedLM"], "model_type": "bert"}
    assert layouts.layout_of(config, bert) is not None
    assert layouts.layout_of({**config, "tie_word_embeddings": False}, bert) is None
    given = [SimpleNamespace(name="llama")]
    monkeypatch.setattr(
        layouts, "entry_points", lambda group, name: given if name == "llama" else []
    )
    assert layouts.layout_of(CONFIG, shapes) is None
    assert layouts.layout_of(config, bert) is not None


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text", "qwen2", "phi"])
@pytest.mark.parametrize("sparse", [False, True], ids=["config", "sparse_config"])
def test_surgery_by_files_alone_writes_what_transformers_would(
    family, sparse, tmp_path, monkeypatch
):
    """By the layout, and as if there was none; a config may leave out what is the default."""
    model = tiny_model(family, rows=100, dtype=torch.bfloat16)
    model.generation_config.eos_token_id = [1, 5]
    source = save_checkpoint(model, tiny_tokenizer(), tmp_path / "source")
    if sparse:
        config = read_json(source / "config.json")
        usual = json.loads(json.dumps(type(model.config)().to_dict()))
        write_json(
            source / "config.json",
            {k: v for k, v in config.items() if k == "model_type" or v != usual.get(k)},
        )
    anatomy = anatomy_of(model.config)
    table = replace(
        make_table(rows=120, bias=anatomy.head_bias is not None), tokenizer=tiny_tokenizer(size=105)
    )
    table = replace(table, input=table.input.bfloat16(), lineage=body_fingerprint(source, anatomy))
    save_table(table, tmp_path / "table")
    assert Checkpoint(source).layout is not None
    replace_tables_on_disk(source, tmp_path / "table", tmp_path / "by_files")
    monkeypatch.setattr(Checkpoint, "layout", None)
    replace_tables_on_disk(source, tmp_path / "table", tmp_path / "by_transformers")

    first, other = tmp_path / "by_files", tmp_path / "by_transformers"
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    for name in names:
        if name not in ("config.json", "generation_config.json"):
            assert (first / name).read_bytes() == (other / name).read_bytes(), name
    for name in ("config.json", "generation_config.json"):
        kind = type(model.config if name == "config.json" else model.generation_config)
        read = [kind.from_pretrained(place, name).to_dict() for place in (first, other)]
        assert read[0] == read[1], name
