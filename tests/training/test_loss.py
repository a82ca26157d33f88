"""Chunked cross-entropy against the plain one."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from franken.training.loss import chunked_linear_cross_entropy
from tests.faults import raises

CAP, SCALE = 3.0, 0.7


def plain(hidden: Tensor, weight: Tensor, labels: Tensor, bias: Tensor | None = None) -> Tensor:
    """Gemma's soft-cap and Cohere's scale, written out."""
    logits = hidden @ weight.T
    logits = (logits if bias is None else logits + bias) * SCALE
    return F.cross_entropy(CAP * torch.tanh(logits / CAP), labels, ignore_index=-100)


def problem(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """23 positions, 5 features, 11 tokens; three positions are ignored."""
    generator = torch.Generator().manual_seed(0)
    hidden, weight, bias = (
        torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for shape in ((23, 5), (11, 5), (11,))
    )
    labels = torch.randint(0, 11, (23,), generator=generator)
    labels[[0, 7, 22]] = -100
    return hidden, weight, bias, labels


@pytest.mark.parametrize("chunk", [0, 1, 4, 20, 100])
def test_loss_and_gradients_equal_the_plain_ones(chunk):
    hidden, weight, bias, labels = problem()
    expected = torch.autograd.grad(plain(hidden, weight, labels, bias), (hidden, weight, bias))
    loss = chunked_linear_cross_entropy(
        hidden, weight, labels, bias=bias, softcap=CAP, scale=SCALE, chunk_tokens=chunk
    )
    found = torch.autograd.grad(loss * 1.0, (hidden, weight, bias))
    torch.testing.assert_close(loss, plain(hidden, weight, labels, bias), rtol=1e-12, atol=1e-12)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


def test_gradients_pass_a_numerical_check_in_double():
    hidden, weight, bias, labels = problem()

    def function(*inputs: Tensor) -> Tensor:
        return chunked_linear_cross_entropy(
            inputs[0], inputs[1], labels, bias=inputs[2], softcap=CAP, scale=SCALE, chunk_tokens=4
        )

    assert torch.autograd.gradcheck(function, (hidden, weight, bias))


def test_a_retained_graph_gives_the_same_gradients_twice():
    hidden, weight, bias, labels = problem()
    loss = chunked_linear_cross_entropy(hidden, weight, labels, bias=bias, chunk_tokens=4)
    first = torch.autograd.grad(loss, weight, torch.tensor(3.0).double(), retain_graph=True)[0]
    second = torch.autograd.grad(loss, weight, torch.tensor(3.0).double())[0]
    assert torch.equal(first, second)


@pytest.mark.parametrize("chunk", [0, 4])
def test_all_ignored_gives_zero_loss_and_zero_gradients(chunk):
    hidden, weight, bias, labels = problem()
    loss = chunked_linear_cross_entropy(
        hidden, weight, torch.full_like(labels, -100), bias=bias, chunk_tokens=chunk
    )
    loss.backward()
    assert loss.item() == 0.0
    assert all(p.grad is not None and not p.grad.any() for p in (hidden, weight, bias))


@pytest.mark.parametrize("chunk", [0, 4])
def test_a_tied_weight_collects_gradients_from_both_sides(chunk):
    _, weight, _, labels = problem()
    ids = torch.arange(23) % 11
    expected = torch.autograd.grad(plain(weight[ids].tanh(), weight, labels), weight)[0]
    loss = chunked_linear_cross_entropy(
        weight[ids].tanh(), weight, labels, softcap=CAP, scale=SCALE, chunk_tokens=chunk
    )
    torch.testing.assert_close(torch.autograd.grad(loss, weight)[0], expected)


def test_bfloat16_inputs_are_summed_in_float32():
    hidden, weight, _, labels = problem(torch.bfloat16)
    many = hidden.detach().repeat(200, 1), labels.repeat(200)
    loss = chunked_linear_cross_entropy(many[0], weight, many[1], chunk_tokens=64)
    exact = F.cross_entropy(many[0].double() @ weight.double().T, many[1])
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=1e-6)


def test_no_gradient_of_a_frozen_weight_is_taken():
    hidden, weight, _, labels = problem()
    weight.requires_grad_(False)
    loss = chunked_linear_cross_entropy(hidden, weight, labels, chunk_tokens=4)
    assert loss.grad_fn is not None
    assert loss.grad_fn.next_functions[0][0].gradients.weight is None  # type: ignore[attr-defined]


def test_no_tensor_larger_than_a_chunk_of_logits_is_made():
    """4,096 positions of 4,096 tokens, 64 at a time: no intermediate exceeds 64 x 4,096."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Sizes(TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            result = func(*args, **(kwargs or {}))
            if isinstance(result, Tensor):
                self.largest = max(self.largest, result.numel())
            return result

    hidden, weight = torch.randn(4096, 8, requires_grad=True), torch.randn(4096, 8)
    weight.requires_grad_()
    with Sizes() as sizes:
        chunked_linear_cross_entropy(hidden, weight, torch.arange(4096), chunk_tokens=64).backward()
    assert sizes.largest == 64 * 4096


def test_reduction_sum_is_mean_times_count():
    hidden, weight, _, labels = problem()
    total = chunked_linear_cross_entropy(hidden, weight, labels, chunk_tokens=4, reduction="sum")
    mean = chunked_linear_cross_entropy(hidden, weight, labels, chunk_tokens=4)
    torch.testing.assert_close(total, mean * 20)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"weight": torch.zeros(11, 4)}, ["hidden", "weight"]),
        ({"labels": torch.zeros(3).long()}, ["labels", (23,), (3,)]),
        ({"bias": torch.zeros(3)}, ["bias", (11,), (3,)]),
        ({"reduction": "max"}, ["reduction", "'max'"]),
    ],
)
def test_wrong_shapes_are_named(changes, names):
    hidden, weight, bias, labels = problem()
    arguments = {"hidden": hidden, "weight": weight, "labels": labels, "bias": bias, **changes}
    with raises(ValueError, *names):
        chunked_linear_cross_entropy(**arguments, chunk_tokens=4)


@pytest.mark.parametrize("chunk", [0, 1, 4, 100])
def test_losses_of_single_positions_and_their_weighted_gradients(chunk):
    hidden, weight, bias, labels = problem()
    weights = torch.linspace(-2, 3, 23, dtype=torch.float64)
    logits = CAP * torch.tanh((hidden @ weight.T + bias) * SCALE / CAP)
    expected = F.cross_entropy(logits, labels, ignore_index=-100, reduction="none")
    found = chunked_linear_cross_entropy(
        hidden, weight, labels, bias=bias, softcap=CAP, scale=SCALE, chunk_tokens=chunk,
        reduction="none",
    )  # fmt: skip
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert found[[0, 7, 22]].tolist() == [0.0, 0.0, 0.0]
    inputs = (hidden, weight, bias)
    for one, other in zip(
        torch.autograd.grad((found * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("chunk", [0, 4])
def test_single_positions_that_are_all_ignored_have_no_gradient(chunk):
    hidden, weight, _, labels = problem()
    found = chunked_linear_cross_entropy(
        hidden, weight, labels.fill_(-100), chunk_tokens=chunk, reduction="none"
    )
    assert found.tolist() == [0.0] * 23
    gradients = torch.autograd.grad(found.sum(), (hidden, weight))
    assert all(not gradient.any() for gradient in gradients)


def test_tiles_of_rows_have_the_bits_of_the_whole(monkeypatch: pytest.MonkeyPatch):
    hidden, weight, bias, labels = problem(torch.float32)

    def found() -> list[Tensor]:
        loss = chunked_linear_cross_entropy(
            hidden, weight, labels, bias=bias, softcap=CAP, chunk_tokens=7, reduction="none"
        )
        return [loss, *torch.autograd.grad(loss @ torch.arange(23.0), (hidden, weight, bias))]

    whole = found()
    monkeypatch.setattr("franken.training.loss._CACHED_BYTES", 2 * 11 * 4)
    assert all(torch.equal(one, other) for one, other in zip(found(), whole, strict=True))
