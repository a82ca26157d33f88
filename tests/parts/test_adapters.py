"""Bottleneck adapters: where they act, that they stack, and their files."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM, BertConfig

from franken.config.training import Trainable, TrainingConfig
from franken.errors import ArtifactError, CompatibilityError
from franken.files import read_json
from franken.parts.adapter_files import load_adapter, save_adapter
from franken.parts.bottleneck import (
    AdapterShape,
    Coupling,
    adapter_names,
    adapter_parameters,
    add_adapter,
)
from franken.parts.delta import apply_delta
from franken.training.policy import TRAINED_ADAPTER
from franken.training.runner import train_model
from tests.faults import raises
from tests.training.tiny import CPU, TinyData, tiny_model

IDS = torch.arange(3, 15).reshape(2, 6)


def bert():
    config = BertConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=32,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return AutoModelForMaskedLM.from_config(config).eval()


def filled(model, name, seed=1, **options):
    """An adapter whose every weight counts."""
    add_adapter(model, AdapterShape(reduction=4, **options), name, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for parameter in adapter_parameters(model, name).values():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return model.requires_grad_(False)


def by_hand(weights, x):
    """``U relu(D x)``."""
    down = torch.relu(x @ weights["adapter_down.0.weight"].T + weights["adapter_down.0.bias"])
    return down @ weights["adapter_up.weight"].T + weights["adapter_up.bias"]


def of_layer(model, name, layer, site="output"):
    mark = f".{layer}.franken_adapters_{site}.{name}."
    return {
        k.partition(mark)[2]: p for k, p in adapter_parameters(model, name).items() if mark in k
    }


@pytest.mark.parametrize("make", [bert, lambda: tiny_model("llama"), lambda: tiny_model("gemma2")])
@pytest.mark.parametrize("kind", ["pfeiffer", "houlsby"])
def test_a_fresh_adapter_leaves_the_model_as_it_is_and_a_filled_one_does_not(make, kind):
    plain = make()(IDS).logits
    model = make()
    add_adapter(model, AdapterShape(kind=kind, invertible=True), "a")
    torch.testing.assert_close(model(IDS).logits, plain, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(filled(make(), "a", kind=kind)(IDS).logits, plain, atol=1e-3)


@pytest.mark.parametrize("width", [8, 9])
def test_the_coupling_is_undone(width):
    coupling = Coupling(width, 2.0, "relu").double()
    for parameter in coupling.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
    x = torch.randn(3, 5, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    there = coupling(x)
    assert (there - x).abs().max() > 0.5
    torch.testing.assert_close(coupling.inverse(there), x, rtol=1e-12, atol=1e-12)


def test_the_coupling_enters_behind_the_embeddings_and_is_undone_before_a_tied_head():
    plain, model = bert(), filled(bert(), "a", invertible=True, leave_out=[0, 1])
    coupling = model.get_submodule("bert.franken_adapters_invertible.a")
    rows = coupling(plain.bert.embeddings(IDS))
    for layer in plain.bert.encoder.layer:
        rows = layer(rows)
        rows = rows[0] if isinstance(rows, tuple) else rows
    torch.testing.assert_close(model(IDS).logits, plain.cls(coupling.inverse(rows)))


def test_before_norms_two_adapters_act_on_the_layers_output_one_after_the_other():
    plain = tiny_model("llama")
    caught = []
    plain.model.layers[-1].register_forward_hook(lambda _, __, out: caught.append(out))
    plain(IDS)
    y = caught[0] if torch.is_tensor(caught[0]) else caught[0][0]
    model = filled(tiny_model("llama"), "language", leave_out=[0, 1])
    model = filled(model, "task", seed=2, leave_out=[0, 1])
    y = y + by_hand(of_layer(model, "language", 2), y)
    y = y + by_hand(of_layer(model, "task", 2), y)
    torch.testing.assert_close(model(IDS).logits, plain.lm_head(plain.model.norm(y)))
    assert adapter_names(model) == ["language", "task"]


def test_in_post_norm_layers_they_act_on_the_sum_before_the_norm_as_in_adapterhub():
    plain = bert()
    caught = {}
    layer = plain.bert.encoder.layer[1]
    layer.output.LayerNorm.register_forward_pre_hook(lambda _, x: caught.update(sum=x[0]))
    layer.output.dense.register_forward_hook(lambda _, __, h: caught.update(h=h))
    plain(IDS)
    model = filled(filled(bert(), "one", leave_out=[0]), "two", seed=2, leave_out=[0])
    norm, h, before = layer.output.LayerNorm, caught["h"], caught["sum"] - caught["h"]
    for name in ("one", "two"):  # AdapterHub: the residual is h, the input norm(h + x)
        h = h + by_hand(of_layer(model, name, 1), norm.forward(h + before))
    expected = plain.cls(norm.forward(h + before))
    torch.testing.assert_close(model(IDS).logits, expected, rtol=1e-5, atol=1e-5)


def test_houlsby_acts_on_the_blocks_outputs():
    model = filled(tiny_model("llama"), "a", kind="houlsby")
    slow, caught = tiny_model("llama"), []
    for index, layer in enumerate(slow.model.layers):
        for site, path in (("attention", "self_attn.o_proj"), ("output", "mlp.down_proj")):
            weights = of_layer(model, "a", index, site)
            caught.append(len(weights))
            module = layer.get_submodule(path)
            inner = module.forward
            module.forward = lambda x, f=inner, w=weights: f(x) + by_hand(w, f(x))
    torch.testing.assert_close(model(IDS).logits, slow(IDS).logits, rtol=1e-5, atol=1e-5)
    assert caught == [4] * 6


@pytest.mark.parametrize("kind", ["pfeiffer", "houlsby"])
@pytest.mark.parametrize("make", [bert, lambda: tiny_model("llama")])
def test_files_give_the_adapter_back_and_refuse_other_bodies(make, kind, tmp_path):
    config = AdapterShape(reduction=4, kind=kind, invertible=True, leave_out=[-1])
    model = filled(make(), "a", kind=kind, invertible=True, leave_out=[-1])
    save_adapter(model, tmp_path, config, name="a", body="b" * 40)
    again = apply_delta(make(), tmp_path, name="delta_0", body="b" * 40)
    assert torch.equal(again(IDS).logits, model(IDS).logits)
    with raises(CompatibilityError, tmp_path, "b" * 12, "c" * 12):
        apply_delta(make(), tmp_path, name="delta_0", body="c" * 40)


def hub_files(directory, **changes):
    """A language adapter as AdapterHub's library writes one for BERT."""
    width, half, generator = 16, 8, torch.Generator().manual_seed(3)
    shapes = {}
    for layer in (0, 1):
        place = f"bert.encoder.layer.{layer}.output.adapters.qu"
        shapes |= {
            f"{place}.adapter_down.0.weight": (8, width), f"{place}.adapter_down.0.bias": (8,),
            f"{place}.adapter_up.weight": (width, 8), f"{place}.adapter_up.bias": (width,),
        }  # fmt: skip
    for part in "FG":
        place = f"bert.invertible_adapters.qu.{part}"
        shapes |= {f"{place}.0.weight": (4, half), f"{place}.0.bias": (4,),
                   f"{place}.2.weight": (half, 4), f"{place}.2.bias": (half,)}  # fmt: skip
    tensors = {k: torch.randn(shape, generator=generator) * 0.3 for k, shape in shapes.items()}
    save_file(tensors, directory / "adapter.safetensors")
    config = {
        "adapter_residual_before_ln": False, "cross_adapter": False, "inv_adapter": "nice",
        "inv_adapter_reduction_factor": 2, "is_parallel": False, "leave_out": [],
        "ln_after": False, "ln_before": False, "mh_adapter": False, "non_linearity": "relu",
        "original_ln_after": True, "original_ln_before": True, "output_adapter": True,
        "reduction_factor": 2, "residual_before_ln": True, "scaling": 1.0, "use_gating": False,
        **changes,
    }  # fmt: skip
    described = {"config": config, "hidden_size": width, "model_type": "bert", "name": "qu"}
    (directory / "adapter_config.json").write_text(json.dumps(described))
    return tensors


def test_adapterhubs_files_load(tmp_path):
    tensors = hub_files(tmp_path)
    model = load_adapter(bert(), tmp_path, name="quechua")
    found = adapter_parameters(model, "quechua")
    assert len(found) == len(tensors)
    assert sorted(float(p.sum()) for p in found.values()) == pytest.approx(
        sorted(float(t.sum()) for t in tensors.values())
    )
    up = found["bert.encoder.layer.1.franken_adapters_output.quechua.adapter_up.weight"]
    assert torch.equal(up, tensors["bert.encoder.layer.1.output.adapters.qu.adapter_up.weight"])


def test_what_is_written_for_bert_has_adapterhubs_names_and_settings(tmp_path):
    tensors = hub_files(tmp_path)
    wanted = read_json(tmp_path / "adapter_config.json")["config"]
    model = load_adapter(bert(), tmp_path, name="qu")
    config = AdapterShape(reduction=2, invertible=True)
    save_adapter(model, tmp_path / "ours", config, name="qu")
    assert load_file(tmp_path / "ours" / "adapter.safetensors").keys() == tensors.keys()
    ours = read_json(tmp_path / "ours" / "adapter_config.json")["config"]
    assert {k: v for k, v in wanted.items() if k not in ours} == {"cross_adapter": False}
    assert {k: ours[k] for k in wanted if k in ours} == {k: wanted[k] for k in wanted if k in ours}


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"ln_after": True}, CompatibilityError), ({"inv_adapter": "glow"}, CompatibilityError),
     ({"reduction_factor": {"default": 2}}, CompatibilityError),
     ({"reduction_factor": 4}, CompatibilityError), ({"leave_out": [1]}, CompatibilityError)],
)  # fmt: skip
def test_other_kinds_and_shapes_are_refused(changes, error, tmp_path):
    hub_files(tmp_path, **changes)
    with pytest.raises(error):
        load_adapter(bert(), tmp_path, name="a")


def test_pickled_weights_are_not_read(tmp_path):
    (tmp_path / "pytorch_adapter.bin").write_bytes(b"")
    with raises(ArtifactError, "adapter.safetensors"):
        load_adapter(bert(), tmp_path, name="a")


def test_training_changes_the_new_adapter_alone(tmp_path):
    settings = TrainingConfig(steps=5, batch_size=4, sequence_length=16, lr=1e-2)
    model = filled(tiny_model("llama"), "language", invertible=True)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train_model(
        model, None, TinyData(settings), settings, Trainable.adapter, CPU, work_dir=tmp_path, seed=0
    )
    for name, weight in before.items():
        assert torch.equal(dict(model.named_parameters())[name], weight), name
    ours = adapter_parameters(model, TRAINED_ADAPTER)
    assert len(ours) == 3 * 4
    assert all(bool(p.any()) for p in ours.values())
