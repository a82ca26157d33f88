"""A file that the gguf package wrote comes back as the model that it describes."""

import json
import logging

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from franken.config.base_model import LoadedModel
from franken.errors import ArtifactError, CompatibilityError
from franken.parts.gguf import read_gguf
from franken.parts.tokenizer_files import token_count
from tests.faults import raises
from tests.parts.steps import run_load
from tests.parts.tiny import logits_of, some_ids, tiny_model, tiny_tokenizer

gguf = pytest.importorskip("gguf", reason="the gguf package is an extra")

NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


def write_gguf(path, model, tokenizer, *, split="smollm", half=False, architecture="llama"):
    """The inverse of what is tested: names, head permutation and metadata as llama.cpp has them."""
    config = model.config
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(64)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    special = {token["content"] for token in described["added_tokens"]}
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in described["model"]["merges"]])
    for role in ("bos", "eos", "pad", "unk"):
        getattr(writer, f"add_{role}_token_id")(getattr(tokenizer, f"{role}_token_id"))
    for name, tensor in model.state_dict().items():
        spelled, values = _spelled(name), tensor.numpy()
        if ".q_proj" in name or ".k_proj" in name:
            heads = config.num_attention_heads if ".q_" in name else config.num_key_value_heads
            pairs = values.reshape(heads, 2, -1, values.shape[-1]).swapaxes(1, 2)
            values = pairs.reshape(values.shape)
        if spelled:
            matrix = half and values.ndim > 1
            writer.add_tensor(spelled, np.array(values, np.float16 if matrix else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _spelled(name):
    top = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
    }
    if name in top or not name.startswith("model.layers"):
        return top.get(name)
    _, _, layer, module = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{NAMES[module]}.weight"


@pytest.fixture
def model():
    return tiny_model("llama", rows=300)


@pytest.fixture
def tokenizer():
    return tiny_tokenizer("byte_level", size=300)


@pytest.fixture
def file(tmp_path, model, tokenizer):
    return write_gguf(tmp_path / "tiny.gguf", model, tokenizer)


def test_weights_and_tokens_are_those_of_the_file(file, model, tokenizer):
    found, read = read_gguf(file)
    for name, tensor in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    assert read.get_vocab() == tokenizer.get_vocab()
    assert (read.bos_token, read.eos_token) == ("<bos>", "<eos>")


def test_the_model_can_be_saved_and_holds_no_trace_of_the_file(file, tmp_path):
    found, _ = read_gguf(file)
    found.save_pretrained(tmp_path / "saved")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    ids = some_ids(300)
    assert torch.equal(logits_of(plain, ids), logits_of(found, ids))
    assert "quantization_config" not in (tmp_path / "saved" / "config.json").read_text()


def test_text_is_split_as_the_file_names_it(file, tmp_path, model, tokenizer):
    def pieces(path):
        backend = read_gguf(path)[1].backend_tokenizer
        return [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str("in 1992")]

    assert pieces(file) == ["in", "Ġ", "1", "9", "9", "2"]
    other = write_gguf(tmp_path / "other.gguf", model, tokenizer, split="gpt-2")
    assert pieces(other) == ["in", "Ġ1992"]


def test_an_unknown_split_is_warned_of(tmp_path, model, tokenizer, caplog):
    path = write_gguf(tmp_path / "strange.gguf", model, tokenizer, split="of-tomorrow")
    with caplog.at_level(logging.WARNING):
        read_gguf(path)
    assert "of-tomorrow" in caplog.text


def test_half_precision_stays(tmp_path, model, tokenizer):
    path = write_gguf(tmp_path / "half.gguf", model, tokenizer, half=True)
    assert read_gguf(path)[0].dtype == torch.float16
    assert read_gguf(path, dtype=torch.float32)[0].dtype == torch.float32


def test_what_is_no_whole_file_of_a_known_family_is_refused(tmp_path, model, tokenizer):
    (tmp_path / "text.gguf").write_text("no weights")
    with raises(ArtifactError, tmp_path / "text.gguf", b"GGUF"):
        read_gguf(tmp_path / "text.gguf")
    with raises(ArtifactError, tmp_path / "big-00001-of-00003.gguf", "llama-gguf-split"):
        read_gguf(tmp_path / "big-00001-of-00003.gguf")
    path = write_gguf(tmp_path / "new.gguf", model, tokenizer, architecture="of-tomorrow")
    with raises(CompatibilityError, path, "'of-tomorrow'"):
        read_gguf(path)


def test_a_loaded_file_is_exported_as_a_plain_checkpoint(file, tmp_path, model):
    export = run_load(LoadedModel(path=str(file)), tmp_path).export(tmp_path / "export")
    plain = AutoModelForCausalLM.from_pretrained(export)
    ids = some_ids(300)
    assert torch.equal(logits_of(plain, ids), logits_of(model, ids))
    tokenizer = AutoTokenizer.from_pretrained(export)
    assert token_count(tokenizer) == 300
    assert tokenizer("in 1992")["input_ids"] == read_gguf(file)[1]("in 1992")["input_ids"]
