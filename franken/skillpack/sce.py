"""SCE: select, calculate, erase (Wan et al. 2024, FuseChat, arXiv 2408.07990)."""

import torch
from torch import Tensor


def sce(deltas: Tensor, density: float) -> Tensor:
    """One change from several of the same tensor.

    Select: the places where the packs differ most, by variance over the packs. Calculate: a pack
    weighs as much as its mean squared change there. Erase: what goes against the sign of the sum.
    Then the weighted mean over the packs that are left at a place. Every tensor by itself, vectors
    too, as mergekit has it.

    Args:
        deltas: ``(packs, *shape)``.
        density: share of the places with any variance that is selected; 1: all places.
    """
    flat = deltas.flatten(1)
    if density < 1.0:
        variance = flat.var(dim=0, unbiased=False)
        count = int(int(variance.count_nonzero()) * density)
        selected = torch.zeros_like(variance)
        selected[variance.topk(count).indices] = 1.0
        flat = flat * selected
    energy = flat.square().mean(dim=1)
    total = energy.sum()
    weights = energy / total if total > 0 else torch.full_like(energy, 1 / len(energy))
    agrees = torch.sign(flat) == torch.sign(flat.sum(dim=0))
    left = weights[:, None] * agrees
    merged = (flat * left).sum(dim=0) / left.sum(dim=0).clamp(min=1e-6)
    return merged.reshape(deltas.shape[1:])
