"""A model's own logits against those of its states: what the head does must be known, or said."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from franken.errors import CompatibilityError
from franken.eval_suite.readout import read_out
from franken.parts.head_check import check_head, head_difference
from tests.composition.hydras import hydra
from tests.faults import raises
from tests.parts.tiny import tiny_model

SIZES = {
    "vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "pad_token_id": 0,
}  # fmt: skip


def granite(scaling: float):
    torch.manual_seed(0)
    config = AutoConfig.for_model("granite", logits_scaling=scaling, **SIZES)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("family", ["llama", "gemma2", "cohere"])
def test_known_heads_agree(family: str) -> None:
    assert head_difference(tiny_model(family)) is None


def test_granites_factor_is_known() -> None:
    model = granite(8.0)
    assert head_difference(model) is None
    ids = torch.tensor([[5, 6, 7]])
    own = model(input_ids=ids).logits
    readout = read_out(model)
    assert not readout.whole_logits
    states = readout.states(readout.run(input_ids=ids))[0]
    torch.testing.assert_close(readout.logits(states), own[0].float())


def test_a_head_that_does_more_is_refused_for_training_and_run_whole_in_evaluation() -> None:
    model = tiny_model("llama")
    forward = model.forward

    def doubled(*args, **kwargs):
        out = forward(*args, **kwargs)
        out.logits = out.logits * 2
        return out

    model.forward = doubled
    with raises(CompatibilityError, type(model).__name__, 2, "'model'"):
        check_head(model)
    assert read_out(model).whole_logits


@pytest.mark.parametrize("family", ["llama", "gemma2", "cohere"])
@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_a_wide_table_over_a_narrow_body_is_looked_at_too(family: str, factor: float) -> None:
    model = tiny_model(family).to(torch.bfloat16)
    for module in {model.get_input_embeddings(), model.get_output_embeddings()}:
        module.weight = torch.nn.Parameter(module.weight.float())
    if model.config.tie_word_embeddings:
        model.get_output_embeddings().weight = model.get_input_embeddings().weight
    forward = model.forward

    def scaled(*args, **kwargs):
        out = forward(*args, **kwargs)
        out.logits = out.logits * factor
        return out

    model.forward = scaled
    assert (head_difference(model) is None) == (factor == 1.0)


def test_a_view_of_a_hydra_llm_is_not_run_whole() -> None:
    made, _ = hydra("llama", tied=True)
    assert not read_out(made.view("xx", ["en"]).model).whole_logits
