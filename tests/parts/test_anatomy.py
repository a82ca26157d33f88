"""Every family's mapping, against models made by transformers."""

import pytest
import torch
from torch.nn import functional

from franken.errors import CompatibilityError
from franken.parts import anatomy
from franken.parts.checkpoint import Checkpoint
from tests.faults import raises
from tests.parts.tiny import (
    TEXT_FAMILIES,
    save_checkpoint,
    some_ids,
    tiny_config,
    tiny_gemma3,
    tiny_model,
)

TYING = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
FAMILIES = pytest.mark.parametrize("family", TEXT_FAMILIES)


@TYING
@FAMILIES
def test_table_tensors_are_found_in_a_saved_checkpoint(family, tied, tmp_path):
    model = tiny_model(family, tied=tied, rows=50)
    checkpoint = Checkpoint(save_checkpoint(model, None, tmp_path))
    ours = anatomy.anatomy_of(model.config)
    found = {name: checkpoint.stored_name(name) for name in ours.table_tensors}

    assert checkpoint.shape(found[ours.input_embedding]) == (50, 16)
    assert (found[ours.output_head] is None) == tied
    if not tied:
        assert checkpoint.shape(found[ours.output_head]) == (50, 16)
    if ours.head_bias is not None:
        assert checkpoint.shape(found[ours.head_bias]) == (50,)
    with_vocabulary = {name for name in checkpoint.names() if 50 in checkpoint.shape(name)}
    assert with_vocabulary == {name for name in found.values() if name}


@FAMILIES
def test_module_paths_lead_to_modules(family):
    model = tiny_model(family)
    ours = anatomy.anatomy_of(model.config)
    layers = model.get_submodule(ours.layers)
    assert len(layers) == 2
    assert type(model.get_submodule(ours.final_norm)).__name__.endswith("Norm")
    assert model.get_submodule(ours.backbone) is model.base_model
    assert set(ours.attention) == set("qkvo")
    paths = [*ours.attention.values(), *ours.feed_forward.values()]
    for path in paths:
        assert layers[0].get_submodule(path).weight.ndim == 2
    inside = dict(layers[0].named_modules())
    linear = {n for n, m in inside.items() if getattr(getattr(m, "weight", None), "ndim", 0) == 2}
    assert linear == set(paths)
    if ours.mlp is not None:
        assert all(path.startswith(ours.mlp + ".") for path in ours.feed_forward.values())


@TYING
@FAMILIES
def test_a_forward_pass_by_hand_from_raw_rows_gives_the_models_logits(family, tied):
    model = tiny_model(family, tied=tied, rows=50)
    config, ours = model.config, anatomy.anatomy_of(model.config)
    weights, ids = model.state_dict(), some_ids(50)
    scaled = weights[ours.input_embedding][ids] * anatomy.embedding_scale(config)
    with torch.no_grad():
        hidden = model.get_submodule(ours.backbone)(inputs_embeds=scaled).last_hidden_state
        head = weights[ours.input_embedding if tied else ours.output_head]
        bias = weights[ours.head_bias] if ours.head_bias else None
        logits = functional.linear(hidden, head, bias) * anatomy.logit_scale(config)
        if (cap := anatomy.logit_softcap(config)) is not None:
            logits = cap * torch.tanh(logits / cap)
        expected = model(input_ids=ids).logits
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
    assert anatomy.is_tied(config) == tied


def test_the_special_scales_and_caps_are_not_all_trivial():
    assert anatomy.embedding_scale(tiny_config("gemma3_text", tied=True, rows=9)) == 4.0
    assert anatomy.embedding_scale(tiny_config("xglm", tied=True, rows=9)) == 4.0
    unscaled = tiny_config("xglm", tied=True, rows=9, scale_embedding=False)
    assert anatomy.embedding_scale(unscaled) == 1.0
    assert anatomy.logit_softcap(tiny_config("gemma2", tied=True, rows=9)) == 0.5
    assert anatomy.logit_scale(tiny_config("cohere", tied=True, rows=9)) == 0.25
    assert anatomy.attention_implementation(tiny_config("gemma2", tied=True, rows=9)) == "eager"
    assert anatomy.attention_implementation(tiny_config("llama", tied=True, rows=9)) is None


def test_the_text_tower_of_a_multimodal_gemma3_is_found(tmp_path):
    model = tiny_gemma3(rows=50)
    config = model.config
    checkpoint = Checkpoint(save_checkpoint(model, None, tmp_path))
    ours = anatomy.anatomy_of(config)
    assert checkpoint.shape(checkpoint.stored_name(ours.input_embedding)) == (50, 16)
    assert ours.input_embedding in model.state_dict()
    assert len(model.get_submodule(ours.layers)) == 2
    assert anatomy.embedding_scale(config) == 4.0


def test_an_unknown_family_is_refused_with_the_nearest_known_ones():
    with raises(CompatibilityError, "'gema2'", "gemma2"):
        anatomy.anatomy_of_family("gema2")


def test_spellings_cover_files_of_a_bare_backbone_and_renamed_heads():
    gpt2 = anatomy.anatomy_of(tiny_config("gpt2", tied=True, rows=9))
    neox = anatomy.anatomy_of(tiny_config("gpt_neox", tied=True, rows=9))
    assert gpt2.is_table_tensor("wte.weight")
    assert neox.is_table_tensor("embed_out.weight")
    assert not gpt2.is_table_tensor("wpe.weight")
