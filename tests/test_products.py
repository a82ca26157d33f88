"""Products by the quicker library: the same numbers as another order of summing gives."""

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

from franken import products
from franken.training import loss

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch carries no oneDNN"
)


@pytest.fixture(autouse=True)
def forced(monkeypatch):
    """As on an AMD processor with AVX-512."""
    monkeypatch.setattr(products, "onednn_is_quicker", lambda: True)


@pytest.fixture
def calls(monkeypatch):
    """How often oneDNN was asked."""
    made = []
    plain = products._onednn
    monkeypatch.setattr(products, "_onednn", lambda *given: made.append(1) or plain(*given))
    return made


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def bound(left, right):
    """Of rounding in a sum of K products, in whatever order: 2 K eps |a| |b|."""
    eps = torch.finfo(torch.float32).eps
    return 2 * left.shape[-1] * eps * (left.double().abs() @ right.double().abs())


def close(found, left, right):
    """``found`` is ``left @ right`` up to what summing rounds."""
    assert found.shape == (left.double() @ right.double()).shape
    assert ((found.double() - left.double() @ right.double()).abs() <= bound(left, right)).all()


def test_products(calls):
    left, right = draw(40, 24), draw(30, 24)
    close(products.product(left, right), left, right.T)
    close(products.product(left, draw(24, 30).T), left, draw(24, 30))
    out = torch.full((40, 30), torch.nan)
    assert products.product_into(out, left, right) is out
    close(out, left, right.T)
    assert len(calls) == 3


def test_a_right_side_with_gaps_is_closed_up_first():
    left, right = draw(40, 24), draw(60, 48)[::2, ::2]
    close(products.product(left, right), left, right.T)


def test_blocks_of_a_large_result(monkeypatch):
    monkeypatch.setattr(products, "_CACHED", 40 * 20)
    left, right = draw(40, 24), draw(70, 24)
    close(products.product_into(torch.empty(40, 70), left, right), left, right.T)


@pytest.mark.parametrize("wide", [20, 50])
def test_a_transposed_product_is_added(wide, calls):
    total, left, right = draw(30, wide), draw(40, 30), draw(40, wide)
    before = total.clone()
    products.add_transposed_product(total, left, right)
    rounded = bound(left.T, right) + torch.finfo(torch.float32).eps * total.double().abs()
    wanted = before.double() + left.double().T @ right.double()
    assert ((total.double() - wanted).abs() <= rounded).all()
    assert len(calls) == 1


def test_few_rows_and_other_formats_are_left_to_torch(calls):
    products.product(draw(products._FEWEST_ROWS - 1, 24), draw(30, 24))
    products.product(draw(40, 24).double(), draw(30, 24).double())
    products.product(draw(40, 24).bfloat16(), draw(30, 24).bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert products.product(draw(40, 24), draw(30, 24)).dtype is torch.bfloat16
    assert torch.func.vmap(products.product)(draw(3, 40, 24), draw(3, 30, 24)).shape == (3, 40, 30)
    assert products.product(draw(0, 24), draw(30, 24)).shape == (0, 30)
    assert not calls


@pytest.mark.parametrize(("kind", "bias"), [(nn.Linear, True), (nn.Linear, False), (Conv1D, True)])
def test_layers_and_their_gradients(kind, bias, calls):
    torch.manual_seed(0)
    layer = nn.Linear(24, 30, bias=bias) if kind is nn.Linear else Conv1D(30, 24)
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    given, weights = draw(2, 32, 24).requires_grad_(), draw(2, 32, 30)
    with products.quicker_products(layer):
        found = layer(given)
        assert isinstance(layer, kind)
        (found * weights).sum().backward()
    assert type(layer) is kind
    assert len(calls) == 3
    mine = [given.grad, *(p.grad for p in layer.parameters())]
    exact = layer.double()
    again = given.detach().double().requires_grad_()
    exact.zero_grad()
    (exact(again) * weights).sum().backward()
    theirs = [again.grad, *(p.grad for p in exact.parameters())]
    torch.testing.assert_close(found.double(), exact(again), atol=1e-5, rtol=1e-5)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-4, rtol=1e-5)


def test_only_what_is_asked_for_has_a_gradient(calls):
    layer = nn.Linear(24, 30).requires_grad_(False)
    given = draw(32, 24).requires_grad_()
    with products.quicker_products(layer):
        layer(given).sum().backward()
    assert layer.weight.grad is None
    assert given.grad is not None
    assert len(calls) == 2


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_model_answers_alike_and_is_itself_again(family, calls):
    torch.manual_seed(0)
    if family == "llama":
        model = LlamaForCausalLM(LlamaConfig(
            vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2,
        ))  # fmt: skip
    else:
        model = GPT2LMHeadModel(GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=4))
    model.eval()
    ids = torch.arange(40).view(2, 20)
    kinds = [type(module) for module in model.modules()]
    names = list(model.state_dict())
    with torch.inference_mode():
        wanted = model(ids).logits
    with products.asking(model):
        with products.quicker_products(model):  # once more changes nothing
            found = model(ids).logits
        assert list(model.state_dict()) == names
        assert not found.requires_grad
    assert calls
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    assert [type(module) for module in model.modules()] == kinds
    with pytest.raises(RuntimeError), products.asking(model):
        raise RuntimeError
    assert [type(module) for module in model.modules()] == kinds


def test_a_processor_of_another_maker_keeps_torchs_own(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(products, "_vendor", lambda: "GenuineIntel")
    products.onednn_is_quicker.cache_clear()
    try:
        assert not products.onednn_is_quicker()
        layer = nn.Linear(24, 30)
        with products.quicker_products(layer):
            assert type(layer) is nn.Linear
    finally:
        products.onednn_is_quicker.cache_clear()


@pytest.mark.parametrize("positions", [7, 64])
def test_the_loss_and_its_gradients(positions, calls):
    states, rows = draw(64, 24).requires_grad_(), draw(90, 24).requires_grad_()
    labels = torch.arange(64) % 90
    found = loss.chunked_linear_cross_entropy(states, rows, labels, chunk_tokens=positions)
    found.backward()
    exact = [t.detach().double().requires_grad_() for t in (states, rows)]
    wanted = nn.functional.cross_entropy(exact[0] @ exact[1].T, labels)
    wanted.backward()
    assert bool(calls) == (positions >= products._FEWEST_ROWS)
    torch.testing.assert_close(found.double(), wanted)
    for one, other in zip((states, rows), exact, strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, atol=1e-6, rtol=1e-4)
