"""Orthogonal matching pursuit: anchors chosen greedily, each for what the others leave unexplained.

tokensurgeon's ``omp`` (arXiv 2506.06607). The coefficients are the least squares over the chosen
anchors, which :mod:`franken.token_map.projection` computes.
"""

import torch
from torch import Tensor

from franken.token_map.neighbours import fixed_height_product
from franken.token_map.projection import Support


def pursue(
    queries: Tensor,
    anchors: Tensor,
    k: int,
    *,
    normalise: bool = False,
    tolerance: float = 1e-6,
    chunk_rows: int = 256,
) -> Support:
    """Choose up to ``k`` anchors for each query.

    Each step takes the anchor of the largest absolute inner product with the residual and removes
    its direction from the residual (Gram-Schmidt, twice, in float64).

    Args:
        queries: ``(n, h)``.
        anchors: ``(m, h)``.
        k: at most ``min(k, h, m)`` are taken: past ``h`` the residual is rounding noise (the
            release goes on and its coefficients explode).
        normalise: compare directions; otherwise long anchors are preferred, as released.
        tolerance: a query whose residual is below this share of its norm is finished.
        chunk_rows: queries at a time; does not change the result. Memory: ``chunk_rows x (m + 2 k
            h)`` floats.
    """
    steps = min(k, queries.shape[1], len(anchors))
    chosen = torch.full((len(queries), steps), -1)
    atoms = anchors.float()
    norms = atoms.norm(dim=1)
    scale = torch.where(norms > 0, 1 / norms, 0.0) if normalise else None
    for start in range(0, len(queries), chunk_rows):
        stop = min(start + chunk_rows, len(queries))
        chosen[start:stop] = _pursue(queries[start:stop], atoms, steps, scale, tolerance)
    return Support.of_table(chosen)


def _pursue(
    queries: Tensor, atoms: Tensor, steps: int, scale: Tensor | None, tolerance: float
) -> Tensor:
    """``(B, steps)`` anchor numbers; -1 once a query is finished."""
    count, width = queries.shape
    residual = queries.double()
    goal = residual.norm(dim=1) * tolerance
    basis = torch.zeros(count, steps, width, dtype=torch.float64)
    chosen = torch.full((count, steps), -1)
    scores = torch.empty(count, len(atoms))
    active = residual.norm(dim=1) > goal
    for step in range(steps):
        if not bool(active.any()):
            break
        fixed_height_product(residual.float(), atoms, out=scores)
        scores.abs_()
        if scale is not None:
            scores.mul_(scale)
        taken, known = chosen[:, :step], chosen[:, :step] >= 0
        scores.scatter_(
            1, taken.clamp(min=0), torch.where(known, -1.0, scores.gather(1, taken.clamp(min=0)))
        )
        best = scores.argmax(1)
        direction = atoms[best].double()
        length = direction.norm(dim=1)
        for _ in range(2):
            inner = torch.einsum("bsh,bh->bs", basis[:, :step], direction)
            direction = direction - torch.einsum("bs,bsh->bh", inner, basis[:, :step])
        left = direction.norm(dim=1)
        active = active & (left > 1e-7 * length)  # an atom in the span of the others adds nothing
        direction = torch.where(active[:, None], direction / left[:, None], 0.0)
        basis[:, step] = direction
        residual = residual - (residual * direction).sum(1, keepdim=True) * direction
        chosen[:, step] = torch.where(active, best, -1)
        active = active & (residual.norm(dim=1) > goal)
    return chosen
