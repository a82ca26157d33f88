"""Rows of a table, whether they lie in memory or on disk."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

_GAP_ROWS = 16  # wanted rows this close are read in one go: cheaper than another read


class RowSource(Protocol):
    """A matrix that hands out ranges of its rows."""

    @property
    def shape(self) -> tuple[int, int]:
        """``(S, D)``."""

    @property
    def dtype(self) -> torch.dtype:
        """Stored number format."""

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows ``start`` to ``stop``, ``(stop - start, D)``."""


@dataclass(frozen=True)
class MemoryRows:
    """Rows of a tensor."""

    matrix: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """``(S, D)``."""
        return (self.matrix.shape[0], self.matrix.shape[1])

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the tensor."""
        return self.matrix.dtype

    def rows(self, start: int, stop: int) -> Tensor:
        """A view, not a copy."""
        return self.matrix[start:stop]


@dataclass(frozen=True)
class ReaderRows:
    """Rows from a function, such as ``Checkpoint.rows`` of one tensor."""

    shape: tuple[int, int]
    dtype: torch.dtype
    reader: Callable[[int, int], Tensor]

    def rows(self, start: int, stop: int) -> Tensor:
        """What the function returns."""
        return self.reader(start, stop)


def gather(source: RowSource, wanted: Tensor) -> Tensor:
    """Read scattered rows.

    Args:
        source: ``(S, D)``.
        wanted: ``(N,)`` ascending row numbers.

    Returns:
        ``(N, D)`` in the dtype of ``source``.
    """
    if isinstance(source, MemoryRows):
        return source.matrix.index_select(0, wanted)
    found = torch.empty(len(wanted), source.shape[1], dtype=source.dtype)
    breaks = (wanted.diff() > _GAP_ROWS).nonzero().flatten() + 1
    edges = [0, *breaks.tolist(), len(wanted)]
    for low, high in pairwise(edges):
        if low < high:
            first, last = int(wanted[low]), int(wanted[high - 1])
            found[low:high] = source.rows(first, last + 1)[wanted[low:high] - first]
    return found
