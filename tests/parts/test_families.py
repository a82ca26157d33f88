"""Families that nobody wrote down: names are read from the model, what does not fit is refused."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig

from benchmarks.family_configs import overrides, tiny_random
from franken.errors import CompatibilityError
from franken.families import declared
from franken.families.__main__ import main
from franken.families.capabilities import capabilities_of
from franken.families.objective import auto_class
from franken.parts.anatomy import anatomy_of, anatomy_of_family
from franken.parts.body import save_body
from franken.parts.export import export_model
from franken.parts.model import ModelRef
from franken.parts.surgery import put_table, take_table
from franken.parts.table import save_table
from tests.faults import raises
from tests.parts.tiny import logits_of, tiny_tokenizer

KINDS = [
    *("mixtral", "deepseek_v3", "gpt_oss"),  # experts
    *("qwen3_next", "lfm2", "mamba"),  # linear attention, convolutions, no attention at all
    *("albert", "distilbert", "modernbert", "mpnet"),  # masked
    *("bert", "biogpt", "opt", "mpt", "bloom", "granite"),  # other names, a bias of two names
]


@pytest.mark.parametrize("family", KINDS)
def test_a_longer_table_keeps_the_logits_of_old_tokens_to_the_bit(family, tmp_path):
    model = tiny_random(family, rows=96)
    old, new = tiny_tokenizer(size=96), tiny_tokenizer(size=112)
    ids = torch.arange(5, 17).view(1, -1)
    before = logits_of(model, ids)
    fingerprint = save_body(model, tmp_path / "body", tokenizer=old)
    table = longer(take_table(model, old, lineage=fingerprint), new)
    save_table(table, tmp_path / "table")
    put_table(model, table, previous=old)
    model.save_pretrained(tmp_path / "saved")
    ref = ModelRef(tmp_path / "body", tmp_path / "table", (), fingerprint, fingerprint)
    export_model(ref, tmp_path / "export", card="# card\n")
    for place in ("saved", "export"):
        plain = auto_class(model.config).from_pretrained(tmp_path / place).eval()
        found = logits_of(plain, ids)
        assert found.shape[-1] == 112
        assert torch.equal(found[..., :96], before), place


def longer(table, tokenizer):
    def more(tensor):
        extra = None if tensor is None else torch.full((16, *tensor.shape[1:]), 0.5)
        return None if extra is None else torch.cat([tensor, extra])

    return replace(
        table, tokenizer=tokenizer, input=more(table.input), output=more(table.output),
        output_bias=more(table.output_bias),
    )  # fmt: skip


def test_names_are_those_of_the_model():
    found = anatomy_of_family("bert")
    assert found.input_embedding == "bert.embeddings.word_embeddings.weight"
    assert found.head_bias == "cls.predictions.decoder.bias"
    assert found.is_table_tensor("cls.predictions.bias")  # the same bias by its other name
    assert (found.layers, found.width) == ("bert.encoder.layer", 768)
    assert found.attention == {
        "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
        "o": "attention.output.dense",
    }  # fmt: skip


def test_a_padding_id_beyond_the_probe_is_no_obstacle():
    small = AutoConfig.for_model("llama", **overrides("llama", 96))
    large = AutoConfig.for_model(
        "llama", **{**overrides("llama", 96), "vocab_size": 128_256, "pad_token_id": 128_004}
    )
    assert anatomy_of(large) == anatomy_of(small)


def test_a_row_per_token_elsewhere_is_named():
    small = AutoConfig.for_model("gemma3n_text", **overrides("gemma3n_text", 96))
    with raises(CompatibilityError, "'gemma3n_text'", "model.embed_tokens_per_layer.weight"):
        anatomy_of(small)
    # Gemma 4 with none, as its larger models are
    large = AutoConfig.for_model("gemma4_text", **overrides("gemma4_text", 96))
    assert anatomy_of(large).input_embedding == "model.embed_tokens.weight"


def test_input_and_output_rows_of_two_widths_are_refused():
    with raises(CompatibilityError, "'rembert'", 256, 1664):
        anatomy_of_family("rembert")


def test_capabilities_say_what_is_missing():
    mamba = capabilities_of(AutoConfig.for_model("mamba"))
    assert mamba.tables is None
    assert mamba.lora is not None
    assert mamba.layer_grids is not None
    llama = capabilities_of(AutoConfig.for_model("llama"))
    assert set(llama.to_json().values()) == {None}
    assert capabilities_of(AutoConfig.for_model("mixtral")).packs is not None


def test_another_package_can_register_a_family(monkeypatch):
    def registered(*, group, name):
        facts = {"mllama": {"refused": "it is ours"}, "olmo": {"parallel": True}}.get(name)
        return [SimpleNamespace(load=lambda: facts)] if group == declared.GROUP and facts else []

    monkeypatch.setattr(declared, "entry_points", registered)
    assert declared.facts_of("olmo") == {"parallel": True}
    assert declared.facts_of("cohere") == {"parallel": True}  # our own, still there
    with raises(CompatibilityError, "'mllama'", "it is ours"):
        anatomy_of_family("mllama")


def test_the_command_tells_of_a_checkpoint(tmp_path, capsys):
    config = AutoConfig.for_model("rembert", **overrides("rembert", 96))
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    assert main([str(tmp_path)]) == 1
    assert main(["llama"]) == 0
    printed = capsys.readouterr().out
    assert "output rows" in printed
    assert "layer_grids  yes" in printed
