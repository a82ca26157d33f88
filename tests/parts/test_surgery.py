"""put_table: the one place where embedding weights are assigned."""

from dataclasses import replace

import pytest
import torch

from franken.errors import CompatibilityError
from franken.parts.surgery import pad_table, put_table, take_table
from tests.faults import raises
from tests.parts.test_table import make_table
from tests.parts.tiny import TEXT_FAMILIES, logits_of, some_ids, tiny_model, tiny_tokenizer


def table_for(model, *, rows=120, tied=True, **changes):
    bias = model.get_output_embeddings().bias is not None
    return replace(make_table(rows=rows, tied=tied, bias=bias), **changes)


@pytest.mark.parametrize("to_tied", [True, False], ids=["to_tied", "to_untied"])
@pytest.mark.parametrize("from_tied", [True, False], ids=["from_tied", "from_untied"])
@pytest.mark.parametrize("family", TEXT_FAMILIES)
def test_rows_sizes_and_tying_are_those_of_the_table(family, from_tied, to_tied, tmp_path):
    model = tiny_model(family, tied=from_tied, rows=96)
    kind = type(model.get_input_embeddings())
    table = table_for(model, tied=to_tied)
    put_table(model, table)

    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    assert type(embedding) is kind
    assert torch.equal(embedding.weight, table.input)
    assert torch.equal(head.weight, table.input if to_tied else table.output)
    assert (head.weight is embedding.weight) == to_tied
    assert model.config.tie_word_embeddings == to_tied
    assert model.config.vocab_size == embedding.num_embeddings == head.out_features == 120
    if table.output_bias is not None:
        assert torch.equal(head.bias, table.output_bias)
    assert logits_of(model, some_ids(96)).shape[-1] == 120

    ids = some_ids(96)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert torch.equal(logits_of(again, ids), logits_of(model, ids))
    tied_after = again.get_input_embeddings().weight is again.get_output_embeddings().weight
    assert tied_after == to_tied


@pytest.mark.parametrize("tied", [True, False])
def test_taking_a_table_out_and_putting_it_back_changes_nothing(tied):
    model = tiny_model("gemma2", tied=tied, rows=100)
    ids = some_ids(96)
    before, config = logits_of(model, ids), model.config.to_dict()
    table = take_table(model, tiny_tokenizer(), lineage="x")
    with torch.no_grad():
        for parameter in model.get_input_embeddings().parameters():
            parameter.zero_()
    put_table(model, table, previous=tiny_tokenizer())
    assert torch.equal(logits_of(model, ids), before)
    assert model.config.to_dict() | {"franken_padding_rows": 4} == config | {
        "franken_padding_rows": 4
    }


def test_model_and_table_share_no_memory_unless_handed_over():
    model = tiny_model()
    table = table_for(model)
    put_table(model, table)
    assert model.get_input_embeddings().weight.data_ptr() != table.input.data_ptr()
    taken = take_table(model, table.tokenizer, lineage="x")
    assert taken.input.data_ptr() != model.get_input_embeddings().weight.data_ptr()
    put_table(model, table, copy=False)
    assert model.get_input_embeddings().weight.data_ptr() == table.input.data_ptr()


def test_padding_that_adds_nothing_still_copies():
    model, table = tiny_model(), make_table(rows=128, tied=True)
    put_table(model, table, pad_to_multiple=64)
    assert model.get_input_embeddings().weight.data_ptr() != table.input.data_ptr()


def test_an_untied_table_does_not_alias_its_two_halves():
    model = tiny_model(tied=True)
    table = table_for(model, tied=False)
    table.output = table.input
    put_table(model, table)
    assert (
        model.get_input_embeddings().weight.data_ptr()
        != model.get_output_embeddings().weight.data_ptr()
    )


@pytest.mark.parametrize("body", [torch.bfloat16, torch.float16])
def test_rows_take_the_bodys_number_format_unless_told_otherwise(body):
    model = tiny_model(dtype=body)
    table = table_for(model)
    put_table(model, table)
    assert model.get_input_embeddings().weight.dtype == body
    assert torch.equal(model.get_input_embeddings().weight, table.input.to(body))
    put_table(model, table, keep_dtype=True)
    assert model.get_input_embeddings().weight.dtype == torch.float32
    assert model.model.layers[0].mlp.up_proj.weight.dtype == body


@pytest.mark.parametrize("frozen", [True, False])
def test_requires_grad_is_kept(frozen):
    model = tiny_model(tied=False)
    model.requires_grad_(not frozen)
    put_table(model, table_for(model, tied=False))
    assert model.get_input_embeddings().weight.requires_grad != frozen
    assert model.get_output_embeddings().weight.requires_grad != frozen


def test_padding_rows_are_means_and_never_win():
    model = tiny_model("phi", tied=False)
    table = table_for(model, rows=97, tied=False)
    put_table(model, table, pad_to_multiple=64)
    weight = model.get_output_embeddings().weight
    assert weight.shape[0] == model.config.vocab_size == 128
    assert model.config.franken_padding_rows == 128 - 96
    torch.testing.assert_close(weight[97:], table.output[:96].mean(0).expand(31, -1))
    logits = logits_of(model, some_ids(96))
    assert int(logits.argmax(-1).max()) < 97
    torch.testing.assert_close(logits[..., 100], logits[..., :96].mean(-1))


def test_a_multiple_that_fits_adds_nothing():
    table = make_table(rows=128)
    assert pad_table(table, 64).input is table.input
    with raises(ValueError, "multiple", 0):
        pad_table(table, 0)


def test_special_ids_and_the_padding_index_follow_the_tokenizer():
    renamed = {"bos_token": "<s>", "pad_token": "[PAD]", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = tiny_tokenizer(specials=renamed)
    model = tiny_model("gemma2")
    model.generation_config.eos_token_id = [1, 5]
    put_table(model, table_for(model, tokenizer=tokenizer), previous=tiny_tokenizer())
    config = model.config
    assert (config.bos_token_id, config.pad_token_id, config.eos_token_id) == (0, 1, 2)
    assert model.generation_config.eos_token_id == [2, 5]
    assert model.generation_config.bos_token_id == 0
    assert model.get_input_embeddings().padding_idx == model.model.padding_idx == 1
    row = model.get_input_embeddings().weight[1]
    assert float(row.detach().abs().sum()) > 0
    gpt2 = tiny_model("gpt2")
    put_table(gpt2, table_for(gpt2, tokenizer=tokenizer))
    assert gpt2.get_input_embeddings().padding_idx is None


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"input": torch.zeros(120, 8)}, ["llama", 8, 16]),
        ({"output_bias": torch.zeros(120)}, ["llama", "bias"]),
        ({"input": torch.full((120, 16), torch.inf)}, ["table.input", "row 0", "'<pad>'"]),
        ({"input": torch.zeros(95, 16)}, ["'▁runs'", 95]),
        ({"input": torch.zeros(120)}, ["table.input", "(120,)", "(T, D)"]),
    ],
)
def test_a_table_that_does_not_fit_is_refused_and_changes_nothing(change, names):
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with raises(CompatibilityError, *names):
        put_table(model, table_for(model, **change))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.config.vocab_size == 96


def test_a_missing_output_bias_is_refused():
    with raises(CompatibilityError, "bias", "phi"):
        put_table(tiny_model("phi"), make_table())


def test_training_after_surgery_moves_the_tied_row_through_both_ends():
    model = tiny_model()
    put_table(model, table_for(model))
    ids = some_ids(96)
    model(input_ids=ids, labels=ids).loss.backward()
    gradient = model.get_input_embeddings().weight.grad
    assert gradient is model.get_output_embeddings().weight.grad
    unseen = next(row for row in range(96) if row not in ids)
    assert float(gradient[unseen].abs().sum()) > 0
