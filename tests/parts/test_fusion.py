"""AdapterFusion against loops over adapters, places and tokens; its files; what trains."""

import pytest
import torch

from franken.config.training import Trainable, TrainingConfig
from franken.errors import CompatibilityError
from franken.files import read_json
from franken.parts.adapter_files import save_adapter
from franken.parts.bottleneck import AdapterShape, adapter_names, adapter_parameters
from franken.parts.delta import apply_delta
from franken.parts.fusion import (
    PENALTY,
    Rotation,
    fusions,
    load_fusion,
    save_fusion,
    start_fusion,
    turn_adapters,
)
from franken.training.runner import train_model
from tests.faults import raises
from tests.parts.test_adapters import IDS, bert, by_hand, filled, of_layer
from tests.training.tiny import CPU, TinyData, tiny_model

SHAPE = AdapterShape(reduction=4)


def saved(make, directory, *, value=True, **options):
    """A fusion of two adapters of ``make``'s model, untrained."""
    folders = {}
    for seed, name in enumerate(("one", "two")):
        folders[name] = directory / name
        shape = AdapterShape(**{"reduction": 4, **options})
        save_adapter(filled(make(), name, seed, **options), folders[name], shape, name=name)
    start_fusion(
        directory / "fusion", folders, make(), value=value, seed=7, body="b" * 40
    )  # fmt: skip
    return directory / "fusion"


def shaken(model):
    """Every weight of the attention counts."""
    generator = torch.Generator().manual_seed(2)
    for place in fusions(model):
        for parameter in place.own_parameters():
            parameter.data += 0.5 * torch.randn(parameter.shape, generator=generator)
    return model


def slow(place, adapters, x):
    """What is added at one place, token by token and adapter by adapter."""
    added = torch.zeros_like(x)
    for at in torch.cartesian_prod(*map(torch.arange, x.shape[:-1])).tolist():
        state = x[tuple(at)]
        outputs = [by_hand(weights, state) for weights in adapters]
        query = place.query.weight @ state + place.query.bias
        scores = [float(query @ (place.key.weight @ z + place.key.bias)) for z in outputs]
        total = sum(torch.tensor(score).exp() for score in scores)
        for score, z in zip(scores, outputs, strict=True):
            value = z if place.value is None else place.value.weight @ z
            added[tuple(at)] += torch.tensor(score).exp() / total * value
    return added


@pytest.mark.parametrize("value", [True, False])
def test_attention_over_two_adapters_is_the_sum_worked_out_token_by_token(value, tmp_path):
    def make():
        return tiny_model("llama")

    folder = saved(make, tmp_path, value=value, leave_out=[0, 1])
    model = shaken(load_fusion(make(), folder, name="fused"))
    adapters = [
        of_layer(filled(make(), name, seed, leave_out=[0, 1]), name, 2)
        for seed, name in enumerate(("one", "two"))
    ]
    plain, caught = make(), []
    plain.model.layers[-1].register_forward_hook(lambda _, __, out: caught.append(out))
    plain(IDS)
    y = (caught[0] if torch.is_tensor(caught[0]) else caught[0][0]).detach()
    (place,) = fusions(model)
    y = y + slow(place, adapters, y)
    torch.testing.assert_close(
        model(IDS).logits, plain.lm_head(plain.model.norm(y)), rtol=1e-4, atol=1e-5
    )  # fmt: skip
    assert adapter_names(model) == ["fused"]


@pytest.mark.parametrize("kind", ["pfeiffer", "houlsby"])
def test_one_adapter_alone_is_that_adapter(kind, tmp_path):
    model = filled(bert(), "one", kind=kind)
    save_adapter(model, tmp_path / "one", AdapterShape(reduction=4, kind=kind), name="one")
    start_fusion(
        tmp_path / "fusion", {"one": tmp_path / "one"}, bert(), value=True, seed=0, body=None
    )  # fmt: skip
    fused = load_fusion(bert(), tmp_path / "fusion", name="a")
    # V has 1e-6 beside the diagonal
    torch.testing.assert_close(fused(IDS).logits, model(IDS).logits, rtol=1e-4, atol=1e-4)


def test_files_give_a_trained_fusion_back_in_adapterhubs_names(tmp_path):
    folder = saved(bert, tmp_path)
    model = shaken(apply_delta(bert(), folder, name="delta_0", body="b" * 40))
    save_fusion(model, tmp_path / "again", folder, name="delta_0")
    again = apply_delta(bert(), tmp_path / "again", name="other")
    assert torch.equal(again(IDS).logits, model(IDS).logits)
    assert not torch.equal(again(IDS).logits, load_fusion(bert(), folder, name="a")(IDS).logits)
    # as AdapterHub's library 1.2 names them
    from safetensors.torch import load_file

    names = load_file(tmp_path / "again" / "model_adapter_fusion.safetensors")
    first = "bert.encoder.layer.0.output.adapter_fusion_layer.one,two"
    assert f"{first}.query.weight" in names
    assert len(names) == 2 * 5
    config = read_json(tmp_path / "again" / "adapter_fusion_config.json")
    assert (config["name"], config["config"]["value_initialized"]) == ("one,two", True)


def test_adapters_of_other_places_or_on_the_embeddings_are_refused(tmp_path):
    for at, options in enumerate(({"leave_out": [0]}, {"invertible": True})):
        folders = {"one": tmp_path / f"one{at}", "two": tmp_path / f"two{at}"}
        save_adapter(filled(bert(), "one"), folders["one"], SHAPE, name="one")
        other = AdapterShape(reduction=4, **options)
        save_adapter(filled(bert(), "two", **options), folders["two"], other, name="two")
        with raises(CompatibilityError, "two"):
            start_fusion(tmp_path / f"f{at}", folders, bert(), value=True, seed=0, body=None)


def test_training_moves_the_attention_alone_and_pulls_values_to_the_identity(tmp_path):
    def make():
        return tiny_model("llama")

    settings = TrainingConfig(steps=4, batch_size=4, sequence_length=16, lr=1e-2)
    model = load_fusion(make(), saved(make, tmp_path), name="delta_0")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train_model(
        model, None, TinyData(settings), settings, Trainable.fusion, CPU, work_dir=tmp_path, seed=0
    )  # fmt: skip
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    own = {id(p) for place in fusions(model) for p in place.own_parameters()}
    assert moved == {name for name, p in model.named_parameters() if id(p) in own}
    assert len(adapter_parameters(model, "delta_0")) == 3 * (2 * 4 + 5)
    weight = fusions(model)[0].value.weight
    weight.requires_grad_(True)
    loss = PENALTY * (weight - torch.eye(len(weight))).square().sum()
    (wanted,) = torch.autograd.grad(loss, weight)
    weight.grad = torch.zeros_like(weight)
    fusions(model)[0].pull()
    torch.testing.assert_close(weight.grad, wanted)


def test_adapters_that_take_turns_act_one_at_a_time_and_in_training_each_in_its_step(tmp_path):
    folders = {}
    for seed, name in enumerate(("one", "two")):
        folders[name] = tmp_path / name
        save_adapter(filled(bert(), name, seed), folders[name], SHAPE, name=name)
    start_fusion(
        tmp_path / "both", folders, bert(), value=True, turns=True, seed=0, body="b" * 40
    )  # fmt: skip
    model = apply_delta(bert(), tmp_path / "both", name="delta_0", body="b" * 40)
    alone = [filled(bert(), name, seed)(IDS).logits for seed, name in enumerate(folders)]
    assert torch.equal(model(IDS).logits, alone[0])
    for step in range(4):
        turn_adapters(model, step)
        assert torch.equal(model(IDS).logits, alone[step % 2])
    acted = []
    model = load_fusion(tiny_model("llama"), turning(tmp_path), name="delta_0")
    place = next(module for module in model.modules() if isinstance(module, Rotation))
    for name, adapter in place.adapters.items():
        adapter.register_forward_hook(
            lambda *_, own=name: acted.append(own) if torch.is_grad_enabled() else None
        )
    settings = TrainingConfig(steps=3, batch_size=4, sequence_length=16, lr=1e-2)
    train_model(
        model, None, TinyData(settings), settings, Trainable.adapter, CPU, work_dir=tmp_path, seed=0
    )  # fmt: skip
    assert acted == ["one", "two", "one"]


def turning(directory):
    """Adapters of two languages that take turns, for the tiny Llama."""
    folders = {}
    for seed, name in enumerate(("one", "two")):
        folders[name] = directory / f"llama_{name}"
        save_adapter(filled(tiny_model("llama"), name, seed), folders[name], SHAPE, name=name)
    start_fusion(
        directory / "turning", folders, tiny_model("llama"), value=True, turns=True, seed=0,
        body=None,
    )  # fmt: skip
    return directory / "turning"


def test_a_model_without_a_fusion_has_none_to_train():
    with raises(CompatibilityError, "fuse"):
        fusions(filled(bert(), "a"))
