"""Singular value decompositions of changes: full, by the Gram matrix, randomised."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from franken.config.pack import SvdMethod, SvdOptions
from franken.products import product
from franken.seeds import derive_seed

_SMALL = 512
_RANDOMIZED_SHARE = 1 / 8
_LEAST_OVERSAMPLE = 10
_ROWS = 1024


@dataclass(frozen=True)
class Factors:
    """``left diag(sigma) right``, the best (or nearly the best) of its rank."""

    left: Tensor
    """``(m, r)``"""
    sigma: Tensor
    """``(r,)``, falling."""
    right: Tensor
    """``(r, n)``"""
    method: str
    excess: float | None = None
    """Error over the smallest possible one minus 1, where it was measured."""

    def cut(self, rank: int) -> "Factors":
        """The first ``rank`` directions."""
        return Factors(
            self.left[:, :rank], self.sigma[:rank], self.right[:rank], self.method, self.excess
        )


@dataclass(frozen=True)
class RowBlocks:
    """A matrix whose rows come in blocks, each time anew: one too large to be held."""

    blocks: Callable[[], Iterator[Tensor]]
    shape: tuple[int, ...]

    def whole(self) -> Tensor:
        """All of it, for what does not go block by block."""
        return torch.cat(list(self.blocks()))

    def __matmul__(self, right: Tensor) -> Tensor:
        """``A B``."""
        return torch.cat([_thin(block, right) for block in self.blocks()])

    def transposed_times(self, left: Tensor) -> Tensor:
        """``A^T B``."""
        found, at = left.new_zeros(self.shape[1], left.shape[1]), 0
        for block in self.blocks():
            found += _thin(block.T, left[at : at + len(block)])
            at += len(block)
        return found


def factorise(
    delta: Tensor | RowBlocks, rank: int | None, options: SvdOptions, *, name: str = ""
) -> Factors:
    """Decompose a change.

    Args:
        delta: ``(m, n)`` float32; blocks that are not zero are put together where the method is
            not the randomised one.
        rank: directions wanted; ``None``: all.
        options: method and accuracy.
        name: of the tensor; seeds the randomised method.
    """
    limit = min(delta.shape)
    rank = limit if rank is None else min(rank, limit)
    if isinstance(delta, RowBlocks):
        method = choose_method(delta.shape[0], delta.shape[1], rank, options.method)
        if method is not SvdMethod.randomized or options.measure_excess or rank == 0:
            delta = delta.whole()
        else:
            return _randomized(delta, rank, options, name)
    if rank == 0 or not (bool(delta[0].any()) or bool(delta.any())):  # a row tells most often
        return Factors(
            delta.new_zeros(delta.shape[0], 0), delta.new_zeros(0),
            delta.new_zeros(0, delta.shape[1]), "none",
        )  # fmt: skip
    method = choose_method(delta.shape[0], delta.shape[1], rank, options.method)
    if method is SvdMethod.randomized:
        found = _randomized(delta, rank, options, name)
        return _with_excess(found, delta) if options.measure_excess else found
    return by_gram(delta, rank) if method is SvdMethod.gram else full(delta).cut(rank)


def _randomized(delta: Tensor | RowBlocks, rank: int, options: SvdOptions, name: str) -> Factors:
    return randomized(
        delta, rank, oversample=max(_LEAST_OVERSAMPLE, math.ceil(rank * options.oversample)),
        power=options.power, seed=derive_seed(options.seed, "svd", name),
    )  # fmt: skip


def choose_method(rows: int, columns: int, rank: int, wanted: SvdMethod) -> SvdMethod:
    """What ``auto`` stands for at this size and rank."""
    if wanted is not SvdMethod.auto:
        return wanted
    limit = min(rows, columns)
    if limit <= _SMALL:
        return SvdMethod.full
    return SvdMethod.randomized if rank <= limit * _RANDOMIZED_SHARE else SvdMethod.gram


def full(delta: Tensor) -> Factors:
    """Thin SVD."""
    left, sigma, right = torch.linalg.svd(delta, full_matrices=False)
    return Factors(left, sigma, right, "full")


def by_gram(delta: Tensor, rank: int | None = None) -> Factors:
    """Through the eigenvectors of the smaller Gram matrix; of ``rank`` directions, or all.

    Float64, as squaring halves the digits: in float32 a singular value of a thousandth of the
    largest one would be wrong by up to its own size squared.
    """
    wide = delta.shape[0] < delta.shape[1]
    tall = delta.T if wide else delta
    values, vectors = torch.linalg.eigh(_gram(tall))
    vectors = vectors.flip(1)[:, :rank]
    sigma = values.flip(0).clamp_(min=0).sqrt_()[:rank]
    safe = torch.where(sigma > sigma[0] * 1e-12, sigma, torch.inf)
    scaled = vectors / safe
    left = torch.cat([part.double() @ scaled for part in tall.split(_ROWS)])
    if wide:
        return Factors(vectors.float(), sigma.float(), left.T.float(), "gram")
    return Factors(left.float(), sigma.float(), vectors.T.float(), "gram")


def _gram(tall: Tensor) -> Tensor:
    """``A^T A`` in float64, without a copy of A in it."""
    found = torch.zeros(tall.shape[1], tall.shape[1], dtype=torch.float64, device=tall.device)
    for part in tall.split(_ROWS):
        wide = part.double()
        found += wide.T @ wide
    return found


def randomized(
    delta: Tensor | RowBlocks, rank: int, *, oversample: int, power: int, seed: int
) -> Factors:
    """Halko, Martinsson & Tropp (2011), algorithm 4.4: subspace iteration with re-orthogonalising.

    Args:
        delta: ``(m, n)`` float32.
        rank: directions wanted.
        oversample: extra directions carried along.
        power: passes of the iteration.
        seed: of the start.
    """
    columns = min(rank + oversample, *delta.shape)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(delta.shape[1], columns, generator=generator)
    if isinstance(delta, Tensor):
        start = start.to(delta.device)
    basis = torch.linalg.qr(_times(delta, start)).Q
    for _ in range(power):
        basis = torch.linalg.qr(_transposed_times(delta, basis)).Q
        basis = torch.linalg.qr(_times(delta, basis)).Q
    # The projection is wide (columns x n): its SVD goes through the small square factor of a QR.
    tall, small = torch.linalg.qr(_transposed_times(delta, basis))
    inner, sigma, outer = torch.linalg.svd(small.T, full_matrices=False)
    left, right = basis @ inner, outer @ tall.T
    return Factors(left[:, :rank], sigma[:rank], right[:rank], "randomized")


def _times(delta: Tensor | RowBlocks, right: Tensor) -> Tensor:
    return _thin(delta, right) if isinstance(delta, Tensor) else delta @ right


def _transposed_times(delta: Tensor | RowBlocks, left: Tensor) -> Tensor:
    return _thin(delta.T, left) if isinstance(delta, Tensor) else delta.transposed_times(left)


def _thin(left: Tensor, right: Tensor) -> Tensor:
    """``A B`` for a ``B`` of few columns, as rows: BLAS takes a quarter less for the same sums."""
    return product(right.T, left).T


def energy_rank(sigma: Tensor, share: float) -> int:
    """Fewest directions with ``share`` of the squared singular values; 0 for a zero matrix.

    At a share of 1 it is the numerical rank: values above the largest times 1e-7 count.
    """
    if not len(sigma) or float(sigma[0]) == 0:
        return 0
    squares = sigma.double().square()
    rank = int((sigma > sigma[0] * 1e-7).sum())
    if share >= 1:
        return rank
    reached = squares.cumsum(0) >= share * squares.sum()
    return min(rank, int(reached.int().argmax()) + 1)


def _with_excess(found: Factors, delta: Tensor) -> Factors:
    total = delta.double().square().sum()
    best = torch.linalg.svdvals(delta)[: len(found.sigma)].double().square().sum()
    ours = delta.double() - (found.left * found.sigma).double() @ found.right.double()
    least = (total - best).clamp(min=0)
    excess = float((ours.square().sum() / least).sqrt() - 1) if float(least) > 0 else 0.0
    return Factors(found.left, found.sigma, found.right, found.method, excess)
