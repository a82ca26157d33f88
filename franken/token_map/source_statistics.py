"""Mean, deviation, covariance and norms of source rows, in passes over chunks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property

import torch
from torch import Tensor

from franken.threads import one_thread
from franken.token_map.row_sources import MemoryRows, RowSource

_CHUNK_ROWS = 4096  # fixed: the sums must not depend on how the map is applied


_KNOWN: ContextVar["dict[tuple[int, int, str], SourceStatistics] | None"] = ContextVar(
    "_KNOWN", default=None
)


@contextmanager
def statistics_once() -> Iterator[None]:
    """Compute the statistics of the same rows once in the block, where none may change."""
    token = _KNOWN.set({} if _KNOWN.get() is None else _KNOWN.get())
    try:
        yield
    finally:
        _KNOWN.reset(token)


def statistics_of(source: RowSource, exemplars: Tensor, device: str = "cpu") -> "SourceStatistics":
    """:class:`SourceStatistics`, those that there are in a block of :func:`statistics_once`."""
    known, made = _KNOWN.get(), SourceStatistics(source, exemplars, device)
    if known is None or not isinstance(source, MemoryRows):
        return made
    # What is kept has a hold on both, so that no other object can get their numbers.
    return known.setdefault((id(source.matrix), id(exemplars), device), made)


class SourceStatistics:
    """Statistics over the exemplar rows; each is computed when first asked for.

    Sums run in float64; deviations divide by the number of rows (numpy's ``ddof=0``).
    """

    def __init__(self, source: RowSource, exemplars: Tensor, device: str = "cpu") -> None:
        """Take note of the rows.

        Args:
            source: ``(S, D)`` rows.
            exemplars: ``(S,)`` bool, at least one true.
            device: where the covariance is computed, ``2 S D²`` operations; equal bits on equal
                devices. All else is a pass or two over the rows, on the CPU.
        """
        self._device = device
        self._source = source
        self._exemplars = exemplars
        self._count = int(exemplars.sum())

    def _chunks(self) -> Iterator[Tensor]:
        """Exemplar rows in float32; each chunk is overwritten by the next."""
        buffer = torch.empty(min(_CHUNK_ROWS, self._source.shape[0]), self._source.shape[1])
        for start in range(0, self._source.shape[0], _CHUNK_ROWS):
            stop = min(start + _CHUNK_ROWS, self._source.shape[0])
            wanted = self._exemplars[start:stop].nonzero().flatten()
            if not len(wanted):
                continue
            rows, part = self._source.rows(start, stop), buffer[: len(wanted)]
            if rows.dtype == part.dtype:
                yield torch.index_select(rows, 0, wanted, out=part)
            else:
                yield part.copy_(rows if len(wanted) == len(rows) else rows[wanted])

    def _total(self, change: Callable[[Tensor], Tensor]) -> Tensor:
        """``(D,)`` float64 sum over the exemplar rows, each chunk changed in place before."""
        rows, columns = self._source.shape
        total = torch.zeros(columns, dtype=torch.float64)
        # Into memory that is there already: new pages for every chunk take longer than the sums.
        exact = torch.empty(min(_CHUNK_ROWS, rows), columns, dtype=torch.float64)
        for chunk in self._chunks():
            total += exact[: len(chunk)].copy_(change(chunk)).sum(dim=0)
        return total

    @cached_property
    def mean(self) -> Tensor:
        """``(D,)`` float64: mu."""
        return self._total(lambda chunk: chunk) / self._count

    @cached_property
    def std(self) -> Tensor:
        """``(D,)`` float64: deviation per dimension."""
        mean = self.mean.float()
        squares = self._total(lambda chunk: chunk.sub_(mean).square_())
        return (squares / self._count).sqrt()

    @cached_property
    def mean_std(self) -> float:
        """Mean of the deviations over the dimensions: the unit of ``noise_std``."""
        return float(self.std.mean())

    @cached_property
    def mean_norm(self) -> float:
        """Mean Euclidean norm of a row."""
        total = sum(float(chunk.norm(dim=1).double().sum()) for chunk in self._chunks())
        return total / self._count

    @cached_property
    def covariance(self) -> Tensor:
        """``(D, D)`` float64: products in float32 per chunk, sums over chunks in float64.

        In one thread: BLAS splits the sums of a product of few columns by the number of threads.
        """
        size = self._source.shape[1]
        total = torch.zeros(size, size, dtype=torch.float64, device=self._device)
        mean = self.mean.float()
        with one_thread():
            for chunk in self._chunks():
                centred = (chunk - mean).to(self._device)
                total += centred.T @ centred
        return total.cpu() / self._count

    @cached_property
    def covariance_root(self) -> Tensor:
        """``(D, D)`` float32 ``A`` with ``A Aᵀ`` = covariance; the same at any number of threads.

        Cholesky where the covariance has full rank, else (fewer rows than dimensions, dead or
        doubled columns) the symmetric square root with negative eigenvalues taken as zero.
        """
        covariance = self.covariance
        with one_thread():
            factor, fault = torch.linalg.cholesky_ex(covariance)
            if int(fault) == 0:
                lower: Tensor = factor.float()
                return lower
            values, vectors = torch.linalg.eigh(covariance)
            root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
            return root.float()
