"""Mean, deviation, covariance and norms of source rows, in passes over chunks."""

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from franken.init_method.rows import RowSource

_CHUNK_ROWS = 4096  # fixed: the sums must not depend on how the map is applied


class SourceStatistics:
    """Statistics over the exemplar rows; each is computed when first asked for.

    Sums run in float64; deviations divide by the number of rows (numpy's ``ddof=0``).
    """

    def __init__(self, source: RowSource, exemplars: Tensor) -> None:
        """Take note of the rows.

        Args:
            source: ``(S, D)`` rows.
            exemplars: ``(S,)`` bool, at least one true.
        """
        self._source = source
        self._exemplars = exemplars
        self._count = int(exemplars.sum())

    def _chunks(self) -> Iterator[Tensor]:
        for start in range(0, self._source.shape[0], _CHUNK_ROWS):
            stop = min(start + _CHUNK_ROWS, self._source.shape[0])
            wanted = self._exemplars[start:stop]
            if bool(wanted.any()):
                yield self._source.rows(start, stop)[wanted].to(torch.float32)

    @cached_property
    def mean(self) -> Tensor:
        """``(D,)`` float64: mu."""
        total = torch.zeros(self._source.shape[1], dtype=torch.float64)
        for chunk in self._chunks():
            total += chunk.sum(dim=0, dtype=torch.float64)
        return total / self._count

    @cached_property
    def std(self) -> Tensor:
        """``(D,)`` float64: deviation per dimension."""
        total = torch.zeros(self._source.shape[1], dtype=torch.float64)
        mean = self.mean.float()
        for chunk in self._chunks():
            total += (chunk - mean).square().sum(dim=0, dtype=torch.float64)
        return (total / self._count).sqrt()

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
        """``(D, D)`` float64: products in float32 per chunk, sums over chunks in float64."""
        size = self._source.shape[1]
        total = torch.zeros(size, size, dtype=torch.float64)
        mean = self.mean.float()
        for chunk in self._chunks():
            centred = chunk - mean
            total += centred.T @ centred
        return total / self._count

    @cached_property
    def covariance_root(self) -> Tensor:
        """``(D, D)`` float32 ``A`` with ``A Aᵀ`` = covariance.

        Cholesky where the covariance has full rank, else (fewer rows than dimensions, dead or
        doubled columns) the symmetric square root with negative eigenvalues taken as zero.
        """
        factor, fault = torch.linalg.cholesky_ex(self.covariance)
        if int(fault) == 0:
            lower: Tensor = factor.float()
            return lower
        values, vectors = torch.linalg.eigh(self.covariance)
        root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
        return root.float()
