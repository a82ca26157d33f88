"""AdamW with a factored second moment and a first one in bfloat16: 2 bytes per weight, not 8.

Adafactor (Shazeer and Stern 2018, arXiv 1804.04235) keeps of the squared gradients of a matrix the
means of its rows and of its columns. With a momentum of half precision, and steps as Adam's instead
of its own relative ones, it does what AdamW does (Zhai et al. 2022, arXiv 2106.04560, 3.4).
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from franken.training.closures import loss_of

_CACHED_WEIGHTS, _OTHER_WEIGHTS = 1 << 16, 1 << 24
"""Of a block of rows that is worked on at one time, on a CPU and elsewhere."""


class Adafactor(torch.optim.Optimizer):
    """AdamW whose second moment of a matrix is ``v_ij = r_i c_j / mean(r)``.

    ``r = b2 r + (1 - b2) mean_j(g^2)`` over rows, ``c`` likewise over columns; a vector's are its
    own, as AdamW's are.

    Args:
        groups: parameters, each group with its ``weight_decay``.
        lr: rate; that of AdamW serves.
        betas: decay of the running means of gradients and of their squares.
        eps: keeps divisions finite.
    """

    def __init__(
        self, groups: list[dict[str, Any]], *, lr: float, betas: tuple[float, float], eps: float
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """As any optimiser's."""
        loss = loss_of(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        weights, slopes = _matrix(parameter.data), _matrix(grad)
        state = self.state[parameter]
        if not state:
            narrow = torch.bfloat16 if parameter.ndim > 1 else torch.float32
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(parameter, dtype=narrow)
            state["rows"] = torch.zeros(weights.shape[0], device=parameter.device)
            state["columns"] = torch.zeros(weights.shape[1], device=parameter.device)
        state["step"] += 1
        step, (first, second) = int(state["step"]), group["betas"]
        rows, columns, mean = state["rows"], state["columns"], _matrix(state["mean"])
        for average, found in zip((rows, columns), _mean_squares(slopes), strict=True):
            average.mul_(second).add_(found, alpha=1 - second)
        share = rows.mean().clamp(min=torch.finfo(torch.float32).tiny)
        tall, wide = rows.sqrt(), (columns / share).sqrt() / math.sqrt(1 - second**step)
        for block in _blocks(weights):
            moved = torch.lerp(mean[block].float(), slopes[block].float(), 1 - first)
            mean[block] = moved
            if group["weight_decay"]:
                weights[block].mul_(1 - group["lr"] * group["weight_decay"])
            scale = torch.outer(tall[block], wide).add_(group["eps"])
            weights[block].addcdiv_(moved, scale, value=-group["lr"] / (1 - first**step))


def _mean_squares(slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Of the rows ``(R,)`` and columns ``(C,)`` of a gradient ``(R, C)``."""
    rows = torch.empty(slopes.shape[0], device=slopes.device)
    columns = torch.zeros(slopes.shape[1], device=slopes.device)
    for block in _blocks(slopes):
        squares = slopes[block].float().square()
        rows[block] = squares.mean(1)
        columns += squares.sum(0)
    return rows, columns.div_(max(1, len(rows)))


def _matrix(tensor: Tensor) -> Tensor:
    """``(rows, columns)``; a vector has one column."""
    return tensor.reshape(len(tensor), -1) if tensor.ndim > 1 else tensor.reshape(-1, 1)


def _blocks(matrix: Tensor) -> Iterator[slice]:
    at_once = _CACHED_WEIGHTS if matrix.device.type == "cpu" else _OTHER_WEIGHTS
    each = max(1, at_once // max(1, matrix.shape[1]))
    for start in range(0, len(matrix), each):
        yield slice(start, start + each)
