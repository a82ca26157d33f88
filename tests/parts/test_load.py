"""What a user brings is read as it is, warned of where it is odd, and never looked at again."""

import json
import logging

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, processors
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from franken.config.base_model import LoadedModel, TensorType
from franken.errors import CompatibilityError
from franken.files import place_tree
from franken.parts.rowless import set_aside_rowless
from franken.parts.table import load_table
from tests.faults import raises
from tests.parts.steps import run_load
from tests.parts.tiny import logits_of, save_checkpoint, some_ids, tiny_model, tiny_tokenizer


@pytest.fixture
def model():
    return tiny_model("llama", rows=96)


@pytest.fixture
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture
def checkpoint(tmp_path, model, tokenizer):
    return save_checkpoint(model, tokenizer, tmp_path / "source")


def load(directory, tmp_path, **options):
    return run_load(LoadedModel(path=str(directory), **options), tmp_path)


def test_editing_the_original_later_does_not_reach_the_artefact(checkpoint, tmp_path, model):
    loaded = load(checkpoint, tmp_path)
    weights = checkpoint / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-64:] = bytes(64)
    weights.write_bytes(content)
    export = loaded.export(tmp_path / "export")
    ids = some_ids(96)
    plain = AutoModelForCausalLM.from_pretrained(export)
    assert torch.equal(logits_of(plain, ids), logits_of(model, ids))


def test_several_end_tokens_survive_load_and_export_by_name(model, tokenizer, tmp_path):
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<end_of_turn>")]
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=0, bos_token_id=2)
    source = save_checkpoint(model, tokenizer, tmp_path / "source")
    export = load(source, tmp_path).export(tmp_path / "export")
    assert GenerationConfig.from_pretrained(export).eos_token_id == ends


def test_another_number_format_is_that_of_body_and_table(checkpoint, tmp_path, model):
    loaded = load(checkpoint, tmp_path, dtype=TensorType.bfloat16)
    assert load_table(loaded.ref.table).input.dtype == torch.bfloat16
    plain = AutoModelForCausalLM.from_pretrained(loaded.export(tmp_path / "export"))
    ids = some_ids(96)
    assert torch.equal(logits_of(plain, ids), logits_of(model.to(torch.bfloat16), ids))


def test_files_beside_the_weights_come_along(checkpoint, tmp_path):
    (checkpoint / "LICENSE").write_text("free")
    (checkpoint / "README.md").write_text("of another model")
    export = load(checkpoint, tmp_path).export(tmp_path / "export")
    assert (export / "LICENSE").read_text() == "free"
    assert (export / "README.md").read_text() == "# card\n"


class TestTokensWithoutARow:
    """As Gemma 3's ``<image_soft_token>``."""

    @pytest.fixture
    def longer(self, tokenizer):
        tokenizer.add_tokens([AddedToken("<image>", special=True)])
        tokenizer.extra_special_tokens = ["<image>"]
        assert tokenizer.convert_tokens_to_ids("<image>") == 96
        return tokenizer

    def test_they_are_set_aside_with_a_warning(self, model, longer, tmp_path, caplog):
        source = save_checkpoint(model, longer, tmp_path / "source")
        with caplog.at_level(logging.WARNING):
            export = load(source, tmp_path).export(tmp_path / "export")
        assert "<image>" in caplog.text
        tokenizer = AutoTokenizer.from_pretrained(export)
        assert max(tokenizer.get_vocab().values()) == 95
        text = "the cat <start_of_turn>"
        assert tokenizer(text)["input_ids"] == longer(text)["input_ids"]
        ids = some_ids(96)
        plain = AutoModelForCausalLM.from_pretrained(export)
        assert torch.equal(logits_of(plain, ids), logits_of(model, ids))

    def test_pieces_and_their_merges_go_as_well(self, tokenizer):
        cut = set_aside_rowless(tokenizer, 94)
        assert sorted(cut.get_vocab().values()) == list(range(94))
        assert max(cut("the cat sat on the mat")["input_ids"]) < 94
        assert cut.decode(cut("the mat", add_special_tokens=False)["input_ids"]) == "the mat"

    def test_a_table_of_another_model_is_refused(self, tokenizer):
        with raises(CompatibilityError, 48, 96):
            set_aside_rowless(tokenizer, 48)

    def test_one_that_is_put_around_every_text_is_refused(self, tokenizer):
        tokenizer.add_tokens([AddedToken("<start>", special=True)])
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<start> $A", special_tokens=[("<start>", 96)]
        )
        with raises(CompatibilityError, "'<start>'", 96):
            set_aside_rowless(tokenizer, 96)


def test_two_stored_tables_are_two_whatever_the_config_says(tmp_path, caplog):
    model = tiny_model("llama", tied=False, rows=96)
    source = save_checkpoint(model, tiny_tokenizer(), tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    with caplog.at_level(logging.WARNING):
        export = load(source, tmp_path).export(tmp_path / "export")
    assert "lm_head.weight" in caplog.text
    ids = some_ids(96)
    plain = AutoModelForCausalLM.from_pretrained(export)
    assert torch.equal(logits_of(plain, ids), logits_of(model, ids))


def test_equal_tables_stored_twice_stay_tied(tmp_path, model, tokenizer):
    source = save_checkpoint(model, tokenizer, tmp_path / "source")
    weights = load_file(source / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    assert load_table(load(source, tmp_path).ref.table).tied


def test_quantised_weights_are_refused_at_load(checkpoint, tmp_path):
    config = json.loads((checkpoint / "config.json").read_text())
    quantised = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    (checkpoint / "config.json").write_text(json.dumps(config | quantised))
    with raises(CompatibilityError, checkpoint, "gptq"):
        load(checkpoint, tmp_path)


def test_an_export_is_placed_again_where_one_stands(tmp_path):
    source, target = tmp_path / "source", tmp_path / "run" / "export"
    (source / "inside").mkdir(parents=True)
    (source / "weights").write_bytes(b"0" * 64)
    (source / "inside" / "card").write_text("new")
    place_tree(source, target, large_bytes=16)
    (target / "inside" / "card").write_text("edited")
    (target / "left over").write_text("of an earlier run")
    place_tree(source, target, large_bytes=16)
    assert (source / "inside" / "card").read_text() == (target / "inside" / "card").read_text()
    assert (target / "weights").samefile(source / "weights")
    assert not (target / "left over").exists()
