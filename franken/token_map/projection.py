"""Least squares of a token's helper row on those of its anchors, as weights over anchors.

SALT (arXiv 2505.10945, Eq. 3) fits ``X = pinv(E'_t) E'_s`` and makes the row ``e X``. That is
``w E'_s`` with ``w = e pinv(E'_t)``, so only ``k`` weights per token are needed and no ``X`` of
helper width by source width. Matching pursuit and interpolation among near tokens have the same
weights over other anchors: who is chosen is a :class:`Support`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from franken.errors import CompatibilityError
from franken.token_map.neighbours import Neighbours

DENSE_LIMIT = 2**25
"""Weights that a method may make which gives every token a weight on every anchor."""
_CHUNK_BYTES = 8 << 20  # of 4 to 128 MiB the fastest: memory that is handed out again, not anew
_PART_ROWS = 4096
_MODERATE = {torch.float32: 1e-3, torch.float64: 1e-5}
"""Least inverse condition (by Frobenius norms) for products of a format instead of rotations."""
_STEPS = 6
_STILL = 1e-12
"""What is left after the last refinement, relative to the weights, if the next one changes them as
much less as this one did."""


@dataclass(frozen=True)
class Support:
    """The anchors of each token, in compressed rows."""

    indptr: np.ndarray
    """``(n + 1,)`` int64."""
    columns: np.ndarray
    """``(P,)`` int64 anchor numbers; token ``i`` has ``columns[indptr[i]:indptr[i + 1]]``."""

    @property
    def rows(self) -> np.ndarray:
        """``(P,)`` int64 number of the token that each entry belongs to."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    @staticmethod
    def of_neighbours(found: Neighbours, count: int) -> "Support":
        """The anchors with a positive weight, for ``count`` tokens."""
        sizes = np.bincount(found.rows, minlength=count)
        return Support(np.r_[0, np.cumsum(sizes)], found.columns)

    @staticmethod
    def of_table(columns: Tensor) -> "Support":
        """From ``(n, k)`` anchor numbers; -1 leaves a place empty."""
        taken = columns >= 0
        sizes = taken.sum(1).cpu().numpy()
        return Support(np.r_[0, np.cumsum(sizes)].astype(np.int64), columns[taken].cpu().numpy())


def projection_weights(
    queries: Tensor,
    anchors: Tensor,
    support: Support,
    *,
    rcond: float = 1e-10,
    ridge: float = 0.0,
    center: bool = False,
    importance: np.ndarray | None = None,
    chunk_bytes: int = _CHUNK_BYTES,
) -> np.ndarray:
    """``w = e pinv(E')`` for each token ``e`` with its anchors' rows ``E'``, in float64.

    With independent anchors and no more of them than dimensions, ``w E'`` is the orthogonal
    projection of ``e`` on their span; with more, it is ``e`` and ``w`` the shortest such weights.

    Args:
        queries: ``(n, h)`` helper rows of the tokens.
        anchors: ``(m, h)`` helper rows of the anchors, on the device that does the work.
        support: who takes part.
        rcond: singular values of ``E'`` below this share of its largest are taken as zero.
        ridge: ``|w E' - e|² + ridge * s * |w|²`` is minimised, ``s`` the mean squared length of the
            anchors' rows, so that the scale of the helper does not matter.
        center: subtract the anchors' mean on both sides; adds up to weights of sum 1.
        importance: ``(P,)`` weights of the rows of the regression, positive.
        chunk_bytes: memory of the gathered rows at a time; does not change the result.

    Returns:
        ``(P,)`` weights in the order of ``support.columns``.
    """
    weights = np.empty(len(support.columns))
    sizes, width = np.diff(support.indptr), queries.shape[1]
    for size in np.unique(sizes[sizes > 0]).tolist():
        members = np.flatnonzero(sizes == size)
        step = max(1, chunk_bytes // (8 * size * (width + size)))
        for start in range(0, len(members), step):
            chosen = members[start : start + step]
            places = support.indptr[chosen][:, None] + np.arange(size)
            columns = torch.from_numpy(support.columns[places]).to(anchors.device)
            rows = anchors.index_select(0, columns.flatten()).double().view(*columns.shape, width)
            wanted = queries[torch.from_numpy(chosen)].to(rows.device).double()
            share = None
            if importance is not None:
                share = torch.from_numpy(importance[places]).to(rows.device)
            weights[places] = _solve(rows, wanted, rcond, ridge, center, share).cpu().numpy()
    return weights


def dense_weights(
    queries: Tensor, anchors: Tensor, *, rcond: float, ridge: float, center: bool
) -> np.ndarray:
    """:func:`projection_weights` with every anchor for every token: one factorisation for all.

    Returns:
        ``(n, m)`` weights.

    Raises:
        CompatibilityError: where they would be more than ``DENSE_LIMIT``.
    """
    refuse_dense(len(queries), len(anchors))
    rows, wanted = anchors.double(), queries.to(anchors.device).double()
    shift = rows.mean(0) if center else torch.zeros_like(rows[0])
    left, values, right = torch.linalg.svd(rows - shift, full_matrices=False)
    penalty = ridge * rows.square().sum(1).mean()
    kept = values > rcond * values.max()
    factors = torch.where(kept, values / (values.square() + penalty), 0.0)
    weights = ((wanted - shift) @ right.T * factors) @ left.T
    if center:
        weights += (1 - weights.sum(1, keepdim=True)) / len(rows)
    found: np.ndarray = weights.cpu().numpy()
    return found


def orthogonal_weights(
    queries: Tensor, anchors: Tensor, sources: Tensor, *, rcond: float
) -> np.ndarray:
    """Weights of ``s e Q``, the best rotation and scale of all anchors' rows to their source rows.

    Procrustes: with ``AᵀB = U S Vᵀ``, ``Q = U Vᵀ`` and ``s = tr S / |A U|²``; and as
    ``Vᵀ = S⁻¹ Uᵀ AᵀB``, ``e Q`` is ``w B`` with ``w = e U S⁻¹ Uᵀ Aᵀ``. Where the helper is wider
    than the source, ``Q`` drops directions, and ``|A U|`` is less than ``|A|``.

    Args:
        queries: ``(n, h)`` helper rows of the tokens.
        anchors: ``(m, h)`` helper rows of the anchors, ``A``.
        sources: ``(m, D)`` source rows of the anchors, ``B``.
        rcond: directions below this share of the largest singular value are left out.

    Returns:
        ``(n, m)`` weights.

    Raises:
        CompatibilityError: where they would be more than ``DENSE_LIMIT``.
    """
    refuse_dense(len(queries), len(anchors))
    rows = anchors.double()
    cross = rows.new_zeros(rows.shape[1], sources.shape[1])
    for start in range(0, len(rows), _PART_ROWS):
        part = slice(start, start + _PART_ROWS)
        cross += rows[part].T @ sources[part].to(rows.device).double()
    left, values, _ = torch.linalg.svd(cross, full_matrices=False)
    kept = values > rcond * values.max()
    left, values = left[:, kept], values[kept]
    scale = values.sum() / (left * (rows.T @ rows @ left)).sum()
    weights = scale * (queries.to(rows.device).double() @ left / values) @ left.T @ rows.T
    found: np.ndarray = weights.cpu().numpy()
    return found


def affine_weights(rows: Tensor, anchors: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Weights of sum 1 that make rows of the anchors' span from as few anchors as its dimension.

    Pivoted QR of the anchors, each with a further, constant component, chooses who is kept: rows
    and component together are reached exactly, up to rounding, in float64.

    Args:
        rows: ``(n, D)`` float64, affine combinations of anchors.
        anchors: ``(m, D)`` float64.

    Returns:
        ``(r,)`` numbers of the anchors kept, ``r <= min(m, D + 1)``, and ``(n, r)`` weights.
    """
    from scipy.linalg import qr

    constant = anchors.square().mean().sqrt()
    wide = torch.cat([anchors, constant.expand(len(anchors), 1)], 1)
    triangle, pivots = qr(wide.T.numpy(), mode="r", pivoting=True)
    diagonal = np.abs(np.diag(triangle))
    kept = np.sort(pivots[: int((diagonal > 1e-10 * diagonal.max()).sum())])
    goal = torch.cat([rows, constant.expand(len(rows), 1)], 1)
    weights = torch.linalg.lstsq(wide[torch.from_numpy(kept)].T, goal.T).solution.T
    return kept, weights.numpy()


def refuse_dense(tokens: int, anchors: int) -> None:
    """Refuse weights of every token on every anchor where they are too many."""
    if tokens * anchors > DENSE_LIMIT:
        raise CompatibilityError(
            f"weights of {tokens} tokens on all {anchors} anchors would be {tokens * anchors:.2g} "
            f"numbers; at most {DENSE_LIMIT} are made. Use a sparse selector (sparsemax, topk), or "
            "max_anchors"
        )


def _solve(
    rows: Tensor,
    wanted: Tensor,
    rcond: float,
    ridge: float,
    center: bool,
    importance: Tensor | None,
) -> Tensor:
    """``(B, k)`` weights for anchors ``(B, k, h)`` and tokens ``(B, h)``, all of one ``k``."""
    count, size, width = rows.shape
    damping, penalties = None, None
    if ridge > 0:
        penalties = ridge * rows.square().sum((1, 2)) / size
        damping = rows.new_zeros(count, size, size + 1)
        damping.diagonal(dim1=1, dim2=2)[:] = penalties.sqrt()[:, None]
    if importance is not None:
        rows = rows * importance.sqrt()[:, :, None]
    weights = rows.new_empty(count, size)
    left = torch.arange(count, device=rows.device)
    for dtype in (torch.float32, torch.float64) if size <= width and not center else ():
        some = slice(None) if len(left) == count else left
        penalty = None if penalties is None else penalties[some]
        found, certain = _by_products(rows[some], wanted[some], penalty, rcond, dtype)
        weights[some] = found
        left = left[~certain]
        if not len(left):
            break
    else:
        weights[left] = _by_rotations(
            rows[left], wanted[left], None if damping is None else damping[left], rcond, center
        )
    if importance is not None:
        weights = weights * importance.sqrt()
    if center:
        weights = weights + (1 - weights.sum(1, keepdim=True)) / size
    return weights


def _by_products(
    rows: Tensor, wanted: Tensor, penalties: Tensor | None, rcond: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """``(B, k)`` weights from inner products, and where they are as good as :func:`_by_rotations`.

    Cholesky of ``E' E'ᵀ``, made in ``dtype``, squares the condition; steps of refinement against
    the rows themselves in float64 (corrected semi-normal equations, Björck 1987) take the square
    and the rounding back, where the condition is moderate. Others are not certain, nor are those
    that still move after ``_STEPS``; each token stops by itself.
    """
    coarse = rows.to(dtype)
    gram = coarse @ coarse.mT
    if penalties is not None:
        gram.diagonal(dim1=1, dim2=2).add_(penalties[:, None])
    factor, faults = torch.linalg.cholesky_ex(gram)
    factor = factor.to(rows.dtype)
    identity = torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device).expand_as(factor)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    bound = 1 / (factor.norm(dim=(1, 2)) * inverse.norm(dim=(1, 2)))
    certain = (faults == 0) & (bound > max(rcond, _MODERATE[dtype]))  # NaN counts as doubtful
    weights, left, before = torch.zeros_like(rows[:, :, 0]), wanted, None
    moving = certain
    for step in range(_STEPS):
        if step:
            left = wanted - (weights[:, None] @ rows)[:, 0]
        residual = (left[:, None] @ rows.mT)[:, 0]  # a fifth of the time of ``rows @ left``
        if penalties is not None:
            residual = residual - penalties[:, None] * weights
        change = ((residual[:, None] @ inverse.mT) @ inverse)[:, 0]
        weights = torch.where(moving[:, None], weights + change, weights)
        size, length = change.norm(dim=1), weights.norm(dim=1)
        if before is not None:
            moving = moving & (size * size > _STILL * length * before)
        if not bool(moving.any()):
            break
        before = size
    return weights, certain & ~moving


def _by_rotations(
    rows: Tensor, wanted: Tensor, damping: Tensor | None, rcond: float, center: bool
) -> Tensor:
    """``(B, k)`` weights by QR, and by singular values where directions may have to be cut off."""
    size, width = rows.shape[1:]
    if center:
        mean = rows.mean(1, keepdim=True)
        rows, wanted = rows - mean, wanted - mean[:, 0]
    system = torch.cat([rows, wanted[:, None]], 1).mT
    if damping is not None:
        system, width = torch.cat([system, damping], 1), width + size
    reduced = torch.linalg.qr(system, mode="r").R
    height = min(width, size)
    factor, right = reduced[:, :height, :size], reduced[:, :height, size:]
    return _least_norm(factor, right, rcond)[:, :, 0]


def _least_norm(factor: Tensor, right: Tensor, rcond: float) -> Tensor:
    """``pinv(factor) @ right`` for factors ``(B, r, k)`` of a QR decomposition.

    ``1 / (|R| |R⁻¹|)`` in Frobenius norms bounds the smallest singular value from below. Where that
    lies above ``rcond`` nothing is cut off and back substitution is the pseudo-inverse; the
    others take a singular value decomposition.
    """
    size = factor.shape[2]
    found = factor.new_empty(len(factor), size, 1)
    doubtful = factor.new_ones(len(factor), dtype=torch.bool)
    if factor.shape[1] == size:
        identity = torch.eye(size, dtype=factor.dtype, device=factor.device).expand_as(factor)
        inverse = torch.linalg.solve_triangular(factor, identity, upper=True)
        bound = 1 / (factor.norm(dim=(1, 2)) * inverse.norm(dim=(1, 2)))
        doubtful = ~(bound > rcond)  # NaN counts as doubtful
        certain = ~doubtful
        found[certain] = torch.linalg.solve_triangular(factor[certain], right[certain], upper=True)
    if bool(doubtful.any()):
        found[doubtful] = torch.linalg.pinv(factor[doubtful], rtol=rcond) @ right[doubtful]
    return found
