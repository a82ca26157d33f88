"""Assembling: body + table + deltas give the logits that they should, and nothing foreign fits."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from franken.errors import ArtifactError, CompatibilityError
from franken.parts.body import load_body, save_body
from franken.parts.checkpoint import Checkpoint
from franken.parts.export import export_model
from franken.parts.model import ModelRef, assemble, ref_of
from franken.parts.surgery import put_table
from franken.parts.table import load_table, save_table, table_of_checkpoint
from tests.faults import raises
from tests.parts.tiny import (
    TEXT_FAMILIES,
    logits_of,
    save_checkpoint,
    some_ids,
    tiny_gemma3,
    tiny_model,
    tiny_tokenizer,
)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", TEXT_FAMILIES)
def test_own_body_with_own_table_equals_from_pretrained_bit_for_bit(family, tied, tmp_path):
    model = tiny_model(family, tied=tied, rows=100)
    checkpoint = save_checkpoint(model, tiny_tokenizer(), tmp_path / "base")
    save_table(table_of_checkpoint(checkpoint), tmp_path / "table")
    expected = AutoModelForCausalLM.from_pretrained(checkpoint)
    before = torch.get_rng_state()
    assembled, _ = assemble(ref_of(checkpoint, tmp_path / "table"))

    assert torch.equal(torch.get_rng_state(), before)
    ids = some_ids(96)
    assert torch.equal(logits_of(assembled, ids), logits_of(expected, ids))
    assert assembled.config._attn_implementation == expected.config._attn_implementation
    for name, tensor in expected.state_dict().items():
        assert torch.equal(assembled.state_dict()[name], tensor), name
    ours, theirs = assembled.get_input_embeddings(), expected.get_input_embeddings()
    assert type(ours) is type(theirs)
    assert ours.padding_idx == theirs.padding_idx
    head = assembled.get_output_embeddings().weight
    assert (head is ours.weight) == tied
    for config in ("config", "generation_config"):
        one, other = getattr(assembled, config).to_dict(), getattr(expected, config).to_dict()
        for value in (one, other):
            value.pop("_name_or_path", None)
        assert one.pop("franken_padding_rows", 4) == 4
        assert one == other


@pytest.fixture
def base(tmp_path):
    """A base checkpoint with its own table stored beside it."""
    checkpoint = save_checkpoint(
        tiny_model("gemma2", tied=True, rows=100), tiny_tokenizer(), tmp_path / "base"
    )
    save_table(table_of_checkpoint(checkpoint), tmp_path / "base_table")
    return checkpoint


@pytest.fixture
def adapted(base, tmp_path):
    """A wider table of the base's lineage with another tokenizer."""
    table = load_table(tmp_path / "base_table")
    table.tokenizer = tiny_tokenizer(size=105)
    table.input = torch.randn(120, 16, generator=torch.Generator().manual_seed(1))
    save_table(table, tmp_path / "adapted_table")
    return table


def swapped_ref(tmp_path, body, lineage, fingerprint):
    return ModelRef(body, tmp_path / "adapted_table", (), lineage, fingerprint)


def test_a_swapped_model_is_the_donor_body_under_the_adapted_table(base, adapted, tmp_path):
    donor, tokenizer = assemble(ref_of(base, tmp_path / "base_table"))
    with torch.no_grad():
        donor.model.layers[0].mlp.up_proj.weight.mul_(1.5)
    donor.generation_config.eos_token_id = [1, 5]
    fingerprint = save_body(
        donor, tmp_path / "instruct", tokenizer=tokenizer, lineage=adapted.lineage
    )
    assert fingerprint != adapted.lineage
    ref = swapped_ref(tmp_path, tmp_path / "instruct", adapted.lineage, fingerprint)
    swapped, tokenizer = assemble(ref)
    put_table(donor, adapted)
    ids = some_ids(105)
    assert torch.equal(logits_of(swapped, ids), logits_of(donor, ids))
    assert tokenizer.get_vocab() == adapted.tokenizer.get_vocab()
    assert swapped.generation_config.eos_token_id == [1, 5]
    assert swapped.config.vocab_size == 120


def test_a_donor_equal_to_the_base_gives_the_adapted_model(base, adapted, tmp_path):
    expected = AutoModelForCausalLM.from_pretrained(base)
    fingerprint = save_body(expected, tmp_path / "same")
    put_table(expected, adapted)
    swapped, _ = assemble(swapped_ref(tmp_path, tmp_path / "same", fingerprint, fingerprint))
    ids = some_ids(105)
    assert torch.equal(logits_of(swapped, ids), logits_of(expected, ids))


def test_a_saved_body_has_no_table_and_the_same_fingerprint(base, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(base)
    fingerprint = save_body(model, tmp_path / "body")
    names = Checkpoint(tmp_path / "body").names()
    assert not [name for name in names if "embed" in name or "lm_head" in name]
    assert fingerprint == ref_of(base, tmp_path / "base_table").fingerprint


def test_the_stored_table_of_a_body_is_never_read(base, tmp_path):
    ref = ref_of(base, tmp_path / "base_table")
    expected = logits_of(assemble(ref)[0], some_ids(96))
    broken = AutoModelForCausalLM.from_pretrained(base)
    torch.nn.init.constant_(broken.get_input_embeddings().weight, float("nan"))
    save_checkpoint(broken, tiny_tokenizer(), base)
    assert torch.equal(logits_of(assemble(ref)[0], some_ids(96)), expected)


def test_a_body_is_loaded_with_one_placeholder_row(base):
    model = load_body(base)
    assert model.get_input_embeddings().weight.shape == (1, 16)
    assert model.config.pad_token_id == 0


@pytest.mark.parametrize("keep", [True, False])
def test_half_precision_bodies_take_the_rows_in_either_format(keep, tmp_path):
    model = tiny_model("llama", tied=False, rows=100, dtype=torch.bfloat16)
    checkpoint = save_checkpoint(model, tiny_tokenizer(), tmp_path / "base")
    table = table_of_checkpoint(checkpoint)
    table.input, table.output = table.input.float() + 1e-4, table.output.float()
    save_table(table, tmp_path / "table")
    assembled, _ = assemble(ref_of(checkpoint, tmp_path / "table"), keep_table_dtype=keep)
    weight = assembled.get_input_embeddings().weight
    assert weight.dtype == (torch.float32 if keep else torch.bfloat16)
    assert torch.equal(weight.float(), table.input if keep else table.input.bfloat16().float())
    assert assembled.model.norm.weight.dtype == torch.bfloat16


def test_a_float32_table_does_not_widen_the_body_that_is_saved_under_it(tmp_path):
    model = tiny_model("llama", rows=100, dtype=torch.bfloat16)
    checkpoint = save_checkpoint(model, tiny_tokenizer(), tmp_path / "base")
    table = table_of_checkpoint(checkpoint)
    table.input = table.input.float()
    put_table(model, table, keep_dtype=True)
    fingerprint = save_body(model, tmp_path / "body")
    assert fingerprint == table.lineage
    assert load_body(tmp_path / "body").dtype == torch.bfloat16


def test_the_text_tower_of_a_multimodal_model_takes_a_table(tmp_path):
    model = tiny_gemma3(rows=100)
    checkpoint = save_checkpoint(model, tiny_tokenizer(), tmp_path / "base")
    save_table(table_of_checkpoint(checkpoint), tmp_path / "table")
    expected = AutoModelForCausalLM.from_pretrained(checkpoint)
    assembled, _ = assemble(ref_of(checkpoint, tmp_path / "table"))
    assert torch.equal(logits_of(assembled, some_ids(96)), logits_of(expected, some_ids(96)))
    export_model(ref_of(checkpoint, tmp_path / "table"), tmp_path / "export", card="x")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "export")
    assert torch.equal(logits_of(again, some_ids(96)), logits_of(expected, some_ids(96)))


def test_a_checkpoint_of_a_bare_backbone_is_a_body(tmp_path):
    model = tiny_model("gpt2", rows=100)
    checkpoint = save_checkpoint(model.transformer, tiny_tokenizer(), tmp_path / "base")
    assert "wte.weight" in Checkpoint(checkpoint).names()
    save_table(table_of_checkpoint(checkpoint), tmp_path / "table")
    assembled, _ = assemble(ref_of(checkpoint, tmp_path / "table"))
    ids = some_ids(96)
    assert torch.equal(logits_of(assembled, ids), logits_of(model, ids))


def test_a_table_of_foreign_lineage_is_refused(base, tmp_path):
    other = save_checkpoint(
        tiny_model("gemma2", rows=100, seed=9), tiny_tokenizer(), tmp_path / "other"
    )
    with raises(CompatibilityError, tmp_path / "base_table", other):
        assemble(ref_of(other, tmp_path / "base_table"))


def test_a_body_that_was_exchanged_is_refused(base, tmp_path):
    ref = ref_of(base, tmp_path / "base_table")
    save_checkpoint(tiny_model("gemma2", rows=100, seed=9), tiny_tokenizer(), base)
    with raises(ArtifactError, base, ref.fingerprint[:12]):
        assemble(ref)


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        ({"model.norm.weight": None}, ["model.norm.weight"]),
        ({"model.layers.0.surprise.weight": torch.zeros(3)}, ["model.layers.0.surprise.weight"]),
        ({"model.norm.weight": torch.zeros(3)}, ["'model.norm.weight'", [3], [16]]),
    ],
    ids=["missing", "unexpected", "shape"],
)
def test_a_body_that_is_not_what_its_config_says_is_refused(fault, names, base):
    path = base / "model.safetensors"
    tensors = load_file(path) | fault
    save_file({n: t for n, t in tensors.items() if t is not None}, path, {"format": "pt"})
    with raises(ArtifactError, base, *names):
        load_body(base)


def test_references_survive_json_and_move_with_their_parts(base, tmp_path):
    ref = ref_of(base, tmp_path / "base_table", deltas=(tmp_path / "delta",))
    assert ModelRef.from_json(ref.to_json()) == ref
    described = ref.to_json(relative_to=tmp_path)
    assert str(tmp_path) not in str(described)
    assert ModelRef.from_json(described, relative_to=tmp_path) == ref
    with raises(ArtifactError, {"kind": "table"}):
        ModelRef.from_json({"kind": "table"})
