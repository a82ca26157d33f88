"""Cross-entropy of a linear output head without ever holding all logits.

At 256,000 tokens the logits of 8,192 positions take 8.4 GB in float32 (Franken-Adapter notes,
"Numerics"). Here the positions pass through the head in chunks; each chunk's gradient is taken at
once, in the forward pass, while its logits exist. Ignored positions never reach the head.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from franken.products import add_transposed_product, product, product_into

IGNORED = -100
"""Label of a position that does not count, as in ``F.cross_entropy``."""

_CACHED_BYTES = 1 << 20
"""Of logits that a thread goes over several times: half of the second-level cache of servers."""


def chunked_linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    bias: Tensor | None = None,
    softcap: float | None = None,
    scale: float = 1.0,
    chunk_tokens: int,
    reduction: str = "mean",
    compute_dtype: torch.dtype | None = None,
) -> Tensor:
    """``F.cross_entropy(cap(scale * (hidden @ weight.T + bias)), labels)``, chunk by chunk.

    ``cap(x) = softcap * tanh(x / softcap)`` as in Gemma 2. Log-softmax, loss and the gradients of
    ``weight`` and ``bias`` are accumulated in float32 (or better) whatever the inputs' dtypes.

    Args:
        hidden: ``(N, D)`` final hidden states.
        weight: ``(V, D)`` output rows.
        labels: ``(N,)`` next-token ids; ``-100`` is ignored.
        bias: ``(V,)`` head bias.
        softcap: bound of the logits.
        scale: factor of the logits, applied before the soft-cap.
        chunk_tokens: positions whose logits exist at one time; 0: all of them, by plain autograd
            (quickest for small vocabularies).
        reduction: ``mean`` over the counted positions, ``sum``, or ``none``. The last has no
            gradient at hand before it knows the positions' weights: its backward pass forms the
            logits once more, chunk by chunk.
        compute_dtype: dtype of the matrix products; ``None``: the promotion of ``hidden`` and
            ``weight`` to at least float32.

    Returns:
        Scalar; 0 (with zero gradients) when every label is ignored. ``none``: ``(N,)`` in float32
        (or better), 0 where the label is ignored.
    """
    _check(hidden, weight, labels, bias, reduction)
    counted = labels != IGNORED
    if not bool(counted.all()):
        hidden, labels = hidden[counted], labels[counted]
    dtype = torch.promote_types(torch.promote_types(hidden.dtype, weight.dtype), torch.float32)
    head = _Head(softcap, float(scale), compute_dtype or dtype, dtype)
    with torch.autocast(hidden.device.type, enabled=False):
        loss: Tensor
        if chunk_tokens > 0:
            chunked = _ChunkedEach if reduction == "none" else _ChunkedSum
            loss = chunked.apply(hidden, weight, bias, labels, head, chunk_tokens)
        else:
            logits = head.logits(hidden, weight, bias)
            how = "none" if reduction == "none" else "sum"
            loss = F.cross_entropy(logits, labels, reduction=how)
    if reduction == "none":
        return loss.new_zeros(counted.shape).masked_scatter(counted, loss)
    return loss / max(1, labels.numel()) if reduction == "mean" else loss


@dataclass(frozen=True)
class _Head:
    """How hidden states become logits."""

    softcap: float | None
    scale: float
    compute_dtype: torch.dtype
    sum_dtype: torch.dtype

    def logits(self, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``(N, V)`` logits in ``sum_dtype``, for autograd."""
        raw = self._product(hidden, weight)
        if bias is not None:
            raw = raw + bias.to(self.sum_dtype)
        if self.scale != 1.0:
            raw = raw * self.scale
        return raw if self.softcap is None else self.softcap * torch.tanh(raw / self.softcap)

    def buffer(self, rows: int, weight: Tensor) -> Tensor | None:
        """Room for the logits of so many positions, where the product needs no other dtype."""
        if self.compute_dtype != self.sum_dtype:
            return None
        return weight.new_empty(rows, len(weight), dtype=self.sum_dtype)

    def raw_logits(self, hidden: Tensor, weight: Tensor, room: Tensor | None) -> Tensor:
        """The product alone, outside autograd, in ``room`` where there is some."""
        if room is None:
            return self._product(hidden, weight)
        return product_into(room[: len(hidden)], hidden, weight)

    def finish(self, raw: Tensor, bias: Tensor | None) -> Tensor:
        """Logits from the product, in place."""
        if bias is not None:
            raw.add_(bias.to(self.sum_dtype))
        if self.scale != 1.0:
            raw.mul_(self.scale)
        return raw if self.softcap is None else raw.div_(self.softcap).tanh_().mul_(self.softcap)

    def back_to_product(self, grad: Tensor, logits: Tensor) -> Tensor:
        """Gradient at ``hidden @ weight.T``; overwrites ``grad`` and, for a cap, ``logits``."""
        if self.softcap is not None:  # d/dx c tanh(x / c) = 1 - (logit / c)^2
            grad.addcmul_(grad, logits.square_(), value=-1.0 / self.softcap**2)
        return grad.mul_(self.scale) if self.scale != 1.0 else grad

    def _product(self, hidden: Tensor, weight: Tensor) -> Tensor:
        product = hidden.to(self.compute_dtype) @ weight.to(self.compute_dtype).T
        return product.to(self.sum_dtype)


class _Gradients(NamedTuple):
    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


class _ChunkedSum(torch.autograd.Function):
    """Summed negative log-likelihood; gradients are ready when the forward pass ends."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        head: _Head,
        chunk_tokens: int,
    ) -> Tensor:
        needed = ctx.needs_input_grad[:3]
        losses, gradients = _by_chunks(hidden, weight, bias, labels, head, chunk_tokens, needed)
        ctx.save_for_backward(hidden, weight, bias, labels)
        ctx.head, ctx.chunk_tokens, ctx.gradients = head, chunk_tokens, gradients
        total = hidden.new_zeros((), dtype=head.sum_dtype)
        for part in losses:
            total += part.sum()
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:
        gradients, ctx.gradients = ctx.gradients, None  # handed over: autograd may keep them
        if gradients is None:  # a second backward pass through a retained graph
            gradients = _gradients_again(ctx)
        scaled = [None if g is None else g.mul_(grad_output.to(g.dtype)) for g in gradients]
        return (*scaled, None, None, None)


class _ChunkedEach(torch.autograd.Function):
    """Negative log-likelihood per position; the logits are formed again for the gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        head: _Head,
        chunk_tokens: int,
    ) -> Tensor:
        unneeded = (False, False, False)
        losses, _ = _by_chunks(hidden, weight, bias, labels, head, chunk_tokens, unneeded)
        ctx.save_for_backward(hidden, weight, bias, labels)
        ctx.head, ctx.chunk_tokens = head, chunk_tokens
        return torch.cat([hidden.new_zeros(0, dtype=head.sum_dtype), *losses])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:
        return (*_gradients_again(ctx, grad_output), None, None, None)


def _gradients_again(ctx: Any, weights: Tensor | None = None) -> _Gradients:
    """Gradients of the (weighted) sum, from logits that are formed once more."""
    hidden, weight, bias, labels = ctx.saved_tensors
    needed = ctx.needs_input_grad[:3]
    return _by_chunks(hidden, weight, bias, labels, ctx.head, ctx.chunk_tokens, needed, weights)[1]


def _by_chunks(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    head: _Head,
    chunk_tokens: int,
    needed: tuple[bool, ...],
    weights: Tensor | None = None,
) -> tuple[list[Tensor], _Gradients]:
    """Losses of the positions, chunk by chunk, and the gradients of their (weighted) sum."""
    losses: list[Tensor] = []
    grad_hidden = torch.empty_like(hidden) if needed[0] else None
    grad_weight = torch.zeros_like(weight, dtype=head.sum_dtype) if needed[1] else None
    grad_bias = torch.zeros_like(bias, dtype=head.sum_dtype) if needed[2] else None  # type: ignore[arg-type]
    rows = weight.to(head.compute_dtype)
    room = head.buffer(min(chunk_tokens, labels.numel()), rows)
    for start in range(0, labels.numel(), chunk_tokens):
        part = slice(start, start + chunk_tokens)
        states, targets = hidden[part].to(head.compute_dtype), labels[part, None]
        logits = head.raw_logits(states, rows, room)
        shares = None if weights is None else weights[part, None]
        losses.append(_softmax_in_place(logits, targets, bias, head, shares, any(needed)))
        if not any(needed):
            continue
        if grad_bias is not None:
            grad_bias += logits.sum(dim=0)
        grad = logits.to(head.compute_dtype)
        if grad_hidden is not None:
            grad_hidden[part] = product(grad, rows.T)
        if grad_weight is not None and head.compute_dtype == head.sum_dtype:
            add_transposed_product(grad_weight, grad, states)
        elif grad_weight is not None:
            grad_weight += grad.T @ states
    return losses, _Gradients(
        grad_hidden,
        None if grad_weight is None else grad_weight.to(weight.dtype),
        None if grad_bias is None or bias is None else grad_bias.to(bias.dtype),
    )


def _softmax_in_place(
    raw: Tensor, targets: Tensor, bias: Tensor | None, head: _Head, weights: Tensor | None,
    with_gradient: bool,
) -> Tensor:  # fmt: skip
    """Losses ``(N,)`` from products ``(N, V)``, which become their gradient.

    So few rows at a time that a core's cache keeps them between the passes: half the time of
    passes over the whole, and the same bits.
    """
    losses = []
    tiles = max(1, len(raw) // _rows_at_once(raw))
    parts = [raw.tensor_split(tiles), targets.tensor_split(tiles)]
    shares = [None] * tiles if weights is None else weights.tensor_split(tiles)
    for tile, wanted, share in zip(*parts, shares, strict=True):
        logits = head.finish(tile, bias)
        highest, found = logits.amax(dim=1, keepdim=True), logits.gather(1, wanted)
        # the cap's derivative asks for the logits once more
        kept = logits.clone() if head.softcap is not None and with_gradient else logits
        mass = logits.sub_(highest).exp_().sum(dim=1, keepdim=True)
        losses.append((mass.log() + highest - found).squeeze(1))
        if not with_gradient:
            continue
        logits.div_(mass)  # softmax
        logits.scatter_add_(1, wanted, logits.new_full(wanted.shape, -1.0))
        if share is not None:
            logits.mul_(share)
        head.back_to_product(logits, kept)
    return torch.cat(losses)


def _rows_at_once(logits: Tensor) -> int:
    """Rows whose passes stay in a core's cache; of other devices all.

    As many per thread, and never a single one where there are several threads, which would share
    out its sum: each row's sum is one thread's, whatever the tile.
    """
    if logits.device.type != "cpu":
        return max(1, len(logits))
    each = _CACHED_BYTES // max(1, logits.shape[1] * logits.element_size())
    return torch.get_num_threads() * max(1, each)


def _check(
    hidden: Tensor, weight: Tensor, labels: Tensor, bias: Tensor | None, reduction: str
) -> None:
    if hidden.ndim != 2 or weight.ndim != 2 or hidden.shape[1] != weight.shape[1]:
        raise ValueError(
            "hidden must be (N, D) and weight (V, D) with one D, "
            f"got {tuple(hidden.shape)} and {tuple(weight.shape)}"
        )
    if labels.shape != hidden.shape[:1]:
        raise ValueError(f"labels must be ({hidden.shape[0]},), got {tuple(labels.shape)}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bias must be ({weight.shape[0]},), got {tuple(bias.shape)}")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction must be none, mean or sum, got {reduction!r}")
