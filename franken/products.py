"""float32 matrix products by the quicker of the two libraries that torch carries for a CPU.

torch multiplies float32 with MKL, which gives AMD processors its AVX2 code whatever they have
(``findings/torch_float32_amd.sh``): where AVX-512 is there, oneDNN, which torch asks for layers
that a compiler has packed, takes half the time or less. On other processors nothing changes. Sums
run in another order, as they do on any other processor.
"""

import functools
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_FEWEST_ROWS = 16
"""Below, both libraries wait for the weights to come from memory."""

_CACHED = 1 << 20
"""Numbers of a sum that is still near when a product is added to it; MKL adds as it multiplies."""


@functools.cache
def onednn_is_quicker() -> bool:
    """Whether this processor is AMD's and has AVX-512."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkl.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return _vendor() == "AuthenticAMD" and bool(flags.get("avx512_f"))


def _vendor() -> str:
    """As the processor names its maker; of Linux alone."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id"))
    return next(named, "")


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """``left @ right.T + bias``, outside autograd.

    Args:
        left: ``(..., K)``.
        right: ``(N, K)``.
        bias: ``(N,)``.
    """
    if _serves(left, right, bias):
        return _onednn(left, right, bias)
    return nn.functional.linear(left, right, bias)


def product_into(out: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """``out (M, N) = left (M, K) @ right (N, K).T``, outside autograd; returns ``out``."""
    if not _serves(left, right) or out.dtype != torch.float32:
        return torch.mm(left, right.T, out=out)
    rows = max(_FEWEST_ROWS, _CACHED // len(left))
    for start in range(0, len(right), rows):  # oneDNN's own result is new memory, here little
        part = slice(start, start + rows)
        out[:, part] = _onednn(left, right[part], None)
    return out


def add_transposed_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """``total += left.T @ right`` for ``(M, N)``, ``(K, M)`` and ``(K, N)``, outside autograd."""
    if _serves(left, right) and total.numel() <= _CACHED and total.dtype == torch.float32:
        total += _transposed(left, right)
    else:
        total.addmm_(left.T, right)


@contextmanager
def quicker_products(*models: nn.Module) -> Iterator[None]:
    """Linear layers multiply with the quicker library for a while, gradients too.

    Weights, names, hooks and what is saved stay as they are: a layer's class is another meanwhile.
    """
    kinds = _quicker_kinds() if onednn_is_quicker() else {}
    changed: list[tuple[nn.Module, type]] = []
    for model in models:
        for module in model.modules():
            before = type(module)
            if before in kinds:
                changed.append((module, before))
                object.__setattr__(module, "__class__", kinds[before])
    try:
        yield
    finally:
        for module, before in changed:
            if type(module) is kinds[before]:  # else it has been wrapped since
                object.__setattr__(module, "__class__", before)


@contextmanager
def asking(*models: nn.Module) -> Iterator[None]:
    """Models answer: no gradients, and the quicker products."""
    with torch.inference_mode(), quicker_products(*models):
        yield


class _Linear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        if _serves(input, self.weight, self.bias):
            return _with_gradients(input, self.weight, self.bias)
        return super().forward(input)


@functools.cache
def _quicker_kinds() -> dict[type, type]:
    """Layers and what takes their place; GPT-2's keep their weights turned."""
    from transformers.pytorch_utils import Conv1D

    class _Conv1D(Conv1D):
        def forward(self, x: Tensor) -> Tensor:
            if _serves(x, self.weight.T, self.bias):
                return _with_gradients(x, self.weight.T, self.bias)
            found: Tensor = super().forward(x)
            return found

    return {nn.Linear: _Linear, Conv1D: _Conv1D}


def _with_gradients(left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
    if torch.is_grad_enabled():
        found: Tensor = _Product.apply(left, right, bias)
        return found
    return _onednn(left, right, bias)


class _Product(torch.autograd.Function):
    """``left (..., K) @ right (N, K).T + bias (N,)``."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(left, right)
        return _onednn(left, right, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        left, right = ctx.saved_tensors
        of_left = _onednn(grad, right.T, None) if ctx.needs_input_grad[0] else None
        flat = grad.flatten(0, -2)
        of_right = None
        if ctx.needs_input_grad[1]:
            of_right = _transposed(flat, left.flatten(0, -2))
        of_bias = flat.sum(0) if ctx.needs_input_grad[2] else None
        return of_left, of_right, of_bias


def _onednn(left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
    """``left @ right.T + bias``. A right side with gaps would be multiplied number by number."""
    multiply: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise
    if not (right.is_contiguous() or right.T.is_contiguous()):
        right = right.contiguous()
    return multiply(left, right, bias, "none", [], "")


def _transposed(left: Tensor, right: Tensor) -> Tensor:
    """``left.T @ right`` for ``(K, M)`` and ``(K, N)``; the narrower one is turned by a copy."""
    if left.shape[1] <= right.shape[1]:
        return _onednn(left.T, right.T, None)
    return _onednn(right.T, left.T, None).T


def _serves(left: Tensor, right: Tensor, bias: Tensor | None = None) -> bool:
    """Whether a product is one that oneDNN makes sooner."""
    given = (left, right) if bias is None else (left, right, bias)
    return (
        onednn_is_quicker()
        and all(_plain(tensor) for tensor in given)
        and left.ndim > 1
        and left.numel() >= _FEWEST_ROWS * left.shape[-1] > 0
        and right.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _plain(tensor: Tensor) -> bool:
    """float32 in memory that a library may read: no device, no subclass, no transform."""
    return (
        tensor.dtype is torch.float32
        and tensor.device.type == "cpu"
        and type(tensor) in (Tensor, nn.Parameter)
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )
