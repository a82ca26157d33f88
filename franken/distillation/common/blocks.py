"""Sums over many rows whose distributions never exist all at a time."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

_BLOCK = 256
"""Rows whose distributions over both vocabularies exist together."""


def summed(function: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    """``function(*rows).sum(0)`` in float32, by blocks that are formed again for the gradients.

    Args:
        function: of equally many rows of each tensor; gives ``(n, ...)``.
        rows: ``(n, ...)`` each, at least one row.
    """
    parts = []
    for at in range(0, len(rows[0]), _BLOCK):
        block = [side[at : at + _BLOCK] for side in rows]
        parts.append(checkpoint(lambda *own: function(*own).sum(0), *block, use_reentrant=False))
    total: Tensor = torch.stack(parts).sum(0)
    return total
