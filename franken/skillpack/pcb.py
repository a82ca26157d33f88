"""PCB-Merging: balance how parameters compete (Du et al. 2024, arXiv 2410.02396)."""

import torch
from torch import Tensor

_OUTLIERS = 1e-4
"""Share of the smallest and of the largest changes of a pack that is clamped, as released."""


def pcb(deltas: Tensor, density: float) -> Tensor:
    """One change from several of the same tensor.

    A change counts for the more, the larger it is among those of its own pack (intra-balancing,
    ``exp(packs * scaled^2)``) and the better it goes with the sum of all packs (inter-balancing,
    ``tanh(change * sum)``). Of the product, the ``density`` highest of each pack become weights
    from 0 to 1, and the result is the weighted mean. As in the release (duguodong7/pcb-merging
    31fa2dc), but tensor by tensor instead of over the whole model at once, so that no more than one
    tensor is held.

    Args:
        deltas: ``(packs, *shape)``.
        density: share of the entries of each pack whose weight is above 0.
    """
    flat = deltas.flatten(1)
    size = flat.abs()
    size = size.clamp(_at(size, _OUTLIERS), _at(size, 1 - _OUTLIERS, last=True))
    intra = torch.exp(len(flat) * _scaled(size).square())
    inter = torch.tanh(flat * flat.sum(dim=0))
    balance = intra * inter
    weights = _scaled(balance.clamp(min=_at(balance, 1 - density)))
    merged = (torch.sign(flat) * size * weights).sum(dim=0)
    return (merged / weights.sum(dim=0).clamp(min=1e-12)).reshape(deltas.shape[1:])


def _at(values: Tensor, share: float, *, last: bool = False) -> Tensor:
    """``(packs, 1)``: the value with this share of a pack's values below (``last``: up to) it."""
    count = values.shape[1]
    place = min(max(int(count * share) - last, 0), count - 1)
    return values.sort(dim=1).values[:, place : place + 1]


def _scaled(values: Tensor) -> Tensor:
    """From 0 to 1 over each pack; 0 where all are equal."""
    low, high = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    return (values - low) / (high - low).clamp(min=torch.finfo(values.dtype).tiny)
