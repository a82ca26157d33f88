"""Singular values chosen anew for rounded singular vectors."""

import torch
from torch import Tensor

from franken.parts.forms.lowrank import LowRankForm, half_sigma
from franken.skillpack.svd import RowBlocks

_ROWS = 512


def refit_sigma(
    form: LowRankForm, delta: Tensor | RowBlocks, hessian: Tensor | None = None
) -> LowRankForm:
    """Solve ``((U^T U) * (V^T H V)) s = diag(U^T delta H V)``; same bytes, never a larger error.

    Args:
        form: rounded vectors with the singular values so far.
        delta: ``(m, n)`` what is approximated.
        hessian: ``(n, n)`` of GPTQ, whose aim a plain refit would undo; ``None``: the identity.

    Returns:
        The form with new singular values, or the old one where rounding them loses the gain.
    """
    if form.rank == 0:
        return form
    left, right = form.left().double(), form.right().double()
    weighted = right if hessian is None else right @ hessian.double()
    gram = (left.T @ left) * (weighted @ right.T)
    projected = torch.zeros(form.rank, delta.shape[1], dtype=torch.float64)
    start = 0
    blocks = delta.blocks() if isinstance(delta, RowBlocks) else delta.split(_ROWS)
    for block in blocks:  # a whole copy in float64 would be two of delta
        projected += left[start : start + len(block)].T @ block.double()
        start += len(block)
    aim = (projected * weighted).sum(dim=1)
    solved = torch.linalg.lstsq(gram, aim[:, None], driver="gelsd").solution[:, 0]
    stored = solved.float() if form.wide_sigma else half_sigma(solved)

    def loss(sigma: Tensor) -> float:
        values = sigma.double()
        return float(values @ gram @ values - 2 * values @ aim)

    if not bool(torch.isfinite(stored).all()) or loss(stored) >= loss(form.sigma):
        return form
    return LowRankForm(form.shape, stored, form.groups, form.group_size)
