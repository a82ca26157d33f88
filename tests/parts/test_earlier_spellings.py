"""Exports name rotary settings and special tokens as transformers 4 does, beside its own names."""

import json

import pytest
from transformers import AutoConfig

from franken.parts.earlier_spellings import write_earlier_spellings
from franken.parts.tokenizer_files import load_tokenizer, save_tokenizer
from tests.parts.tiny import tiny_tokenizer

SCALED = {"rope_type": "linear", "factor": 2.0}
LAYERS = {
    "full_attention": {"rope_theta": 1e6, **SCALED},
    "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"},
}


@pytest.mark.parametrize(
    ("family", "rotary", "added"),
    [
        ("llama", {"rope_theta": 5e5, "rope_type": "default"}, {"rope_theta": 5e5}),
        ("llama", {"rope_theta": 5e5, **SCALED}, {"rope_theta": 5e5, "rope_scaling": SCALED}),
        (
            "gemma3_text", LAYERS,
            {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_scaling": SCALED},
        ),
    ],
    ids=["plain", "scaled", "by_layer"],
)  # fmt: skip
def test_both_spellings_stand_there_and_the_config_reads_as_before(tmp_path, family, rotary, added):
    config = AutoConfig.for_model(family, rope_parameters=rotary)
    config.save_pretrained(tmp_path)
    before = AutoConfig.from_pretrained(tmp_path).rope_parameters
    assert not added.keys() & json.loads((tmp_path / "config.json").read_text()).keys()
    write_earlier_spellings(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert {name: written[name] for name in added} == added
    assert AutoConfig.from_pretrained(tmp_path).rope_parameters == before


def test_a_config_that_would_read_otherwise_is_left_as_it_was(tmp_path):
    """Gemma 4's rotary kind of its own takes no settings from the earlier names."""
    AutoConfig.for_model("gemma4_text").save_pretrained(tmp_path)
    before = (tmp_path / "config.json").read_text()
    write_earlier_spellings(tmp_path)
    assert (tmp_path / "config.json").read_text() == before
    AutoConfig.from_pretrained(tmp_path)


def test_further_special_tokens_have_the_name_that_both_lines_read(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"extra_special_tokens": ["<end_of_turn>"]})
    save_tokenizer(tokenizer, tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings["additional_special_tokens"] == ["<end_of_turn>"]
    assert not isinstance(settings.get("extra_special_tokens"), list)
    assert list(map(str, load_tokenizer(tmp_path).extra_special_tokens)) == ["<end_of_turn>"]
