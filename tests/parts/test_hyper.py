"""Hyper-X: the adapter that a network makes, by hand; as a plain one; what trains."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from franken.config.training import TrainingConfig
from franken.errors import ConfigError
from franken.parts.adapter_files import save_adapter
from franken.parts.delta import apply_delta
from franken.parts.hyper import load_network, network_for, put_network, put_plain, save_network
from franken.training.hyper import Sources, text_loss, train_network
from franken.training.masking import TokenMasker
from tests.faults import raises
from tests.parts.encoders import encoder_tokenizer, tiny_encoder
from tests.parts.test_adapters import IDS, by_hand, of_layer
from tests.training.test_masked import packed
from tests.training.tiny import tiny_model

SIZES = {"reduction": 4, "embedding": 3, "hidden": 5}


def network(model, seed=1):
    """Every weight counts."""
    made = network_for(model, ["topics", "text"], ["en", "id"], seed=seed, **SIZES)
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator)
    return made.requires_grad_(False)


def test_a_fresh_network_leaves_the_model_as_it_is():
    model, plain = tiny_model("llama"), tiny_model("llama")(IDS).logits
    put_network(model, network_for(model, ["a"], ["en"], seed=0, **SIZES))
    assert torch.equal(model(IDS).logits, plain)


def test_matrices_are_linear_in_what_the_network_makes_of_task_language_and_layer():
    made = network(tiny_model("llama"))
    made.choose("text", "id")
    down, up = made.weights(2)
    whole = [*made.task.weight[1], *made.language.weight[1], *made.layer.weight[2]]
    first = [
        max(0.0, float(sum(w * x for w, x in zip(row, whole, strict=True)) + b))
        for row, b in zip(made.first.weight, made.first.bias, strict=True)
    ]
    source = [
        float(sum(w * x for w, x in zip(row, first, strict=True)) + b)
        for row, b in zip(made.second.weight, made.second.bias, strict=True)
    ]
    width, inner = made.sizes["width"], made.inner
    assert (down.shape, up.shape) == ((inner, width), (width, inner))
    for i, j in ((0, 0), (inner - 1, 3)):
        own = sum(w * x for w, x in zip(made.down.weight[i * width + j], source, strict=True))
        assert float(down[i, j]) == pytest.approx(float(own), rel=1e-4)
        own = sum(w * x for w, x in zip(made.up.weight[j * inner + i], source, strict=True))
        assert float(up[j, i]) == pytest.approx(float(own), rel=1e-4)
    with raises(ConfigError, "id", "xx"):
        made.choose("text", "xx")


@pytest.mark.parametrize("choice", [("topics", "en"), ("text", "id")])
def test_the_plain_adapter_is_the_generated_one_and_files_give_both_back(choice, tmp_path):
    model = tiny_model("llama")
    made = network(model)
    save_network(made, tmp_path)
    again = load_network(tmp_path)
    for one in (made, again):
        one.choose(*choice)
    put_network(model, made)
    wanted = model(IDS).logits
    plain = tiny_model("llama")
    shape = put_plain(plain, again, "a")
    torch.testing.assert_close(plain(IDS).logits, wanted, rtol=1e-4, atol=1e-5)
    save_adapter(plain, tmp_path / "adapter", shape, name="a", body="b" * 40)
    assert len(load_file(tmp_path / "adapter" / "adapter.safetensors")) == 3 * 4
    loaded = apply_delta(tiny_model("llama"), tmp_path / "adapter", name="x", body="b" * 40)
    assert torch.equal(loaded(IDS).logits, plain(IDS).logits)
    x = torch.randn(2, made.sizes["width"], generator=torch.Generator().manual_seed(3))
    down, up = made.weights(1)
    torch.testing.assert_close(
        by_hand(of_layer(plain, "a", 1), x), torch.relu(x @ down.T) @ up.T
    )  # fmt: skip


def test_training_lowers_the_loss_of_text_and_leaves_the_model():
    tokenizer = encoder_tokenizer("bert")
    model = tiny_encoder("bert", tokenizer)
    before = {name: p.clone() for name, p in model.named_parameters()}
    made = network_for(model, ["text"], ["en", "sw"], seed=0, **SIZES)
    put_network(model, made)
    same = TokenMasker.of(tokenizer, TrainingConfig().masking).hide(packed(tokenizer), 9)
    sources = Sources({}, {("text", "en"): [same]}, SimpleNamespace(hide=lambda batch, _: batch))
    start = float(text_loss(model, same).detach())
    report = train_network(model, made, {}, sources, TrainingConfig(steps=25, lr=3e-2), 0)
    assert report["steps"] == 25
    assert float(text_loss(model, same).detach()) < start - 0.02
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
