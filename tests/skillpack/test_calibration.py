"""Input moments, and packs rounded with them."""

import pytest
import torch

from franken.config.pack import Rounding
from franken.errors import CompatibilityError
from franken.parts.weights import LoadedWeights
from franken.skillpack import pack_difference
from franken.skillpack.calibration import input_moments
from tests.faults import raises
from tests.parts.tiny import tiny_model
from tests.skillpack.pairs import policy, tuned_copy


def texts(count=12, length=20):
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(3, 96, (length,), generator=generator).tolist() for _ in range(count)]


@torch.no_grad()
def test_moments_are_those_of_what_each_layer_reads():
    model = tiny_model()
    found = input_moments(model, texts())
    layer = model.model.layers[0]
    reads, products = [], []
    for ids in texts():
        states = model.model.embed_tokens(torch.tensor([ids]))
        reads.append(layer.input_layernorm(states)[0])
        output = model.model(torch.tensor([ids]), output_hidden_states=True)
        assert torch.equal(output.hidden_states[0], states)
        handle = layer.mlp.down_proj.register_forward_pre_hook(
            lambda _, given: products.append(given[0][0].clone())
        )
        model(torch.tensor([ids]))
        handle.remove()
    for role in "qkv":
        stacked = torch.cat(reads)
        expected = 2 / len(stacked) * stacked.T @ stacked
        moments = found[f"model.layers.0.self_attn.{role}_proj.weight"]
        torch.testing.assert_close(moments, expected, rtol=1e-4, atol=1e-5)
    stacked = torch.cat(products)
    moments = found["model.layers.0.mlp.down_proj.weight"]
    expected = 2 / len(stacked) * stacked.T @ stacked
    torch.testing.assert_close(moments, expected, rtol=1e-4, atol=1e-5)
    assert len(found) == 2 * 7


LARGER = {
    "llama": {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16},
    "gpt2": {"n_embd": 64, "hidden_size": 64},
}


@torch.no_grad()
def test_layers_stored_input_first_are_read_too():
    model = tiny_model("gpt2")
    found = input_moments(model, texts())
    assert len(found) == 4 * model.config.num_hidden_layers
    reads = []
    for ids in texts():
        states = model.transformer.wte(torch.tensor([ids]))
        states = states + model.transformer.wpe(torch.arange(len(ids)))
        reads.append(model.transformer.h[0].ln_1(states)[0])
    stacked = torch.cat(reads)
    expected = 2 / len(stacked) * stacked.T @ stacked
    moments = found["transformer.h.0.attn.c_attn.weight"]
    torch.testing.assert_close(moments, expected, rtol=1e-4, atol=1e-5)
    for name, matrix in found.items():
        assert len(matrix) == model.get_parameter(name).shape[0]


def test_gptq_without_moments_is_refused(tmp_path):
    model = tiny_model()
    found = policy("svd_quantised", "pack.quant.method=gptq")
    moments = input_moments(model, texts())
    del moments["model.layers.1.mlp.up_proj.weight"]
    with raises(
        CompatibilityError, "pack.quant.method=gptq", "'model.layers.1.mlp.up_proj.weight'"
    ):
        pack_difference(
            LoadedWeights(model), LoadedWeights(tuned_copy(model)), found, tmp_path / "p",
            name="p", hessians=moments,
        )  # fmt: skip
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("family", list(LARGER))
def test_a_calibrated_pack_answers_closer_to_the_tuned_model(tmp_path, family):
    model = tiny_model(family, **LARGER[family])
    tuned = tuned_copy(model, size=0.05, only="proj" if family == "llama" else ".h.")
    moments = input_moments(tuned, texts(40))
    names = [name for name in moments if "mlp" in name or "q_proj" in name or "c_attn" in name]
    assert names
    seen = {}
    for method in Rounding:
        found = policy(
            "svd_quantised", f"pack.quant.method={method}", "pack.classes.attn.bits=2",
            "pack.classes.mlp.bits=2", "pack.quant.group=32", "pack.classes.attn.rank=24",
            "pack.classes.mlp.rank=24",
        )  # fmt: skip
        pack = pack_difference(
            LoadedWeights(model), LoadedWeights(tuned), found, tmp_path / str(method),
            name="p", hessians=moments,
        )  # fmt: skip
        total = 0.0
        for name in names:
            base, after = (dict(m.named_parameters())[name].detach() for m in (model, tuned))
            assert pack.tensors[name]["rounding"] == str(method)
            rest = (after - base - pack.delta(name)).double()
            rest = rest.T if family == "gpt2" else rest  # (out, in)
            total += float((rest @ moments[name].double() * rest).sum())
        seen[method] = total
    assert seen[Rounding.gptq] < seen[Rounding.rtn]
