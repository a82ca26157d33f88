"""Rows of unequal length, sorted by it, in batches whose padding is bounded."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def ascending_runs(lengths: Sequence[int], batch_tokens: int) -> Iterator[slice]:
    """Runs of rows of ascending length, padded to at most so many tokens together.

    Args:
        lengths: of the rows, ascending.
        batch_tokens: padding included; a longer row is a run of its own.
    """
    first = 0
    while first < len(lengths):
        stop = first + 1
        while stop < len(lengths) and lengths[stop] * (stop + 1 - first) <= batch_tokens:
            stop += 1
        yield slice(first, stop)
        first = stop


def right_padded(rows: Sequence[Sequence[int]], fill: int = 0) -> tuple[Tensor, Tensor]:
    """``(B, L)`` ids with ``fill`` behind them, and 1 where a row has a token, 0 elsewhere."""
    ids = torch.full((len(rows), max(map(len, rows))), fill)
    seen = torch.zeros_like(ids)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = torch.tensor(row)
        seen[at, : len(row)] = 1
    return ids, seen
