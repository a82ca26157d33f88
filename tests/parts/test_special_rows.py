from dataclasses import replace

import pytest
import torch

from franken.errors import CompatibilityError
from franken.parts.special_rows import control_ids, match_control_tokens, with_special_rows
from tests.faults import raises
from tests.parts.test_table import make_table
from tests.parts.tiny import tiny_tokenizer

OTHER = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}


def other_table(**kwargs):
    table = make_table(rows=110, **kwargs)
    matrices = {name: matrix + 100 for name, matrix in table.matrices().items()}
    return replace(table, tokenizer=tiny_tokenizer(specials=OTHER), **matrices)


@pytest.mark.parametrize(("tied", "bias"), [(True, False), (False, False), (False, True)])
def test_control_rows_come_from_the_other_table_and_text_rows_stay(tied, bias):
    adapted, other = make_table(tied=tied, bias=bias), other_table(tied=tied, bias=bias)
    mixed = with_special_rows(adapted, other)
    # pad eos bos unk are 0 1 2 3 here; in the other table <s> <pad> </s> <unk> are 0 1 2 3.
    source_of = {0: 1, 1: 2, 2: 0, 3: 3, 4: 4, 5: 5, 6: 6}
    for name, matrix in mixed.matrices().items():
        for ours, theirs in source_of.items():
            assert torch.equal(matrix[ours], other.matrices()[name][theirs])
        assert torch.equal(matrix[7:], adapted.matrices()[name][7:])
    assert not torch.equal(adapted.input, mixed.input)
    assert mixed.lineage == adapted.lineage
    report = mixed.provenance["special_rows"]
    assert report["tokens"]["<eos>"] == {"id": 1, "from_id": 2, "matched_by": "role: eos"}
    assert report["tokens"]["<end_of_turn>"]["matched_by"] == "string"
    assert report["unmatched"] == []


def test_an_untied_table_takes_both_rows_from_a_tied_one():
    mixed = with_special_rows(make_table(tied=False), other_table(tied=True))
    assert torch.equal(mixed.input[5], mixed.output[5])
    assert not torch.equal(mixed.input[9], mixed.output[9])


def test_rows_that_cannot_fit_are_refused():
    with raises(CompatibilityError, "composition.special_rows=from_adapted"):
        with_special_rows(make_table(tied=True), other_table(tied=False))
    narrow = replace(other_table(tied=True), input=torch.zeros(110, 8))
    with raises(CompatibilityError, 8, 16):
        with_special_rows(make_table(tied=True), narrow)


def test_added_text_is_no_control_token_and_unmatched_ones_are_reported():
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["\n\n\n", "<unused7>"])
    assert "\n\n\n" not in control_ids(tokenizer)
    assert "<unused7>" in control_ids(tokenizer)
    assert "<unused7>" not in match_control_tokens(tokenizer, tiny_tokenizer())
    adapted = replace(make_table(tied=True), tokenizer=tokenizer)
    mixed = with_special_rows(adapted, other_table(tied=True))
    assert mixed.provenance["special_rows"]["unmatched"] == ["<unused7>"]


def test_the_chat_template_comes_along_where_its_tokens_are_known():
    adapted, other = make_table(tied=True), other_table(tied=True)
    other.tokenizer.chat_template = "<start_of_turn>{{ messages[0].content }}<end_of_turn>"
    mixed = with_special_rows(adapted, other)
    assert mixed.tokenizer.chat_template == other.tokenizer.chat_template
    assert adapted.tokenizer.chat_template is None
    adapted.tokenizer.chat_template = "{{ own }}"
    assert with_special_rows(adapted, other).tokenizer.chat_template == "{{ own }}"
    adapted.tokenizer.chat_template = None
    other.tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    other.tokenizer.chat_template = "<turn>"
    assert with_special_rows(adapted, other).tokenizer.chat_template is None
