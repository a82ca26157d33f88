"""Assembling: body + table + deltas give the logits that they should, and nothing foreign fits."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from franken.parts.model import assemble, ref_of
from franken.parts.table import save_table, table_of_checkpoint
from tests.parts.tiny import (
    TEXT_FAMILIES,
    logits_of,
    save_checkpoint,
    some_ids,
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
