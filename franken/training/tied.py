"""Input rows of a tied table, whose gradient is never a table of its own.

Autograd makes of the gradient of a lookup a second table, zero but for the rows of the tokens that
occur, and adds it to the head's: at 262,144 rows of 640 that is 0.7 GB to fill and to read in each
step. Here the sums of those rows wait for the head's gradient and are added where they belong:
the same bits, as both make each row's sum first and add it once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed.tensor import DTensor
from torch.func import functional_call


def is_shared(embedding: nn.Module, head: nn.Module | None) -> bool:
    """Whether a lookup and a head train one table that this process has whole."""
    if not isinstance(embedding, nn.Embedding) or head is None:
        return False
    plain = embedding.max_norm is None and not embedding.scale_grad_by_freq and not embedding.sparse
    table = embedding.weight
    return plain and table.requires_grad and head.weight is table and not isinstance(table, DTensor)


def look_up(embedding: nn.Embedding, ids: Tensor) -> Tensor:
    """``embedding(ids)``, its gradient added to that which the table has from elsewhere.

    For one lookup per backward pass; of several, sums may round otherwise.
    """
    if not torch.is_grad_enabled():
        embedded: Tensor = embedding(ids)
        return embedded
    rows, places = ids.unique(return_inverse=True)
    with _no_padding(embedding) as padding:
        compact = _Rows.apply(embedding.weight, rows, padding)
        embedded = functional_call(embedding, {"weight": compact}, (places,))
    return embedded


class _Rows(torch.autograd.Function):
    """Rows ``(U, D)`` of a table ``(V, D)``."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, padding: int | None) -> Tensor:
        ctx.table, ctx.rows, ctx.padding = table, rows, padding
        return table.index_select(0, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, None]:
        table, rows = ctx.table, ctx.rows
        if ctx.padding is not None:
            grad = grad.masked_fill((rows == ctx.padding)[:, None], 0.0)

        def add(whole: Tensor | None) -> Tensor | None:
            """Before the table's gradient is kept: all that comes from elsewhere is there."""
            waiting.remove()
            if whole is not None:
                return whole.index_add_(0, rows, grad.to(whole.dtype))
            if table.grad is None:  # nothing came
                table.grad = torch.zeros_like(table)
            table.grad.index_add_(0, rows, grad.to(table.dtype))
            return None

        waiting = table.register_hook(add)
        return None, None, None


@contextmanager
def _no_padding(embedding: nn.Embedding) -> Iterator[int | None]:
    """The row that the lookup does not train, which has another number among few rows."""
    padding, embedding.padding_idx = embedding.padding_idx, None
    try:
        yield padding
    finally:
        embedding.padding_idx = padding
