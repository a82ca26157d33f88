"""What the split into body and head takes for a family's peculiarity, and what for a fault."""

from dataclasses import replace

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from franken.eval_suite.readout import read_out
from franken.parts import anatomy, head_check


@pytest.fixture(scope="module")
def model():
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
            vocab_size=16,
        )
    )  # fmt: skip


def test_a_fault_of_the_head_check_is_not_taken_for_an_unknown_head(model, monkeypatch):
    def broken(core):
        raise AttributeError("a fault of the check itself")

    monkeypatch.setattr(head_check, "head_difference", broken)
    with pytest.raises(AttributeError):
        read_out(model)


def test_a_body_that_is_not_where_its_family_has_it_is_run_whole(model, monkeypatch):
    found = replace(anatomy.anatomy_of(model.config), backbone="nowhere")
    monkeypatch.setattr(anatomy, "anatomy_of", lambda config: found)
    assert read_out(model).whole_logits
