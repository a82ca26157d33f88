"""Several packs as one change: weighted sums, means, TIES, DARE, SCE, PCB-Merging."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from franken.config.pack import MergeMethod
from franken.parts.skillpack import SkillPack
from franken.parts.weights import Weights
from franken.seeds import derive_seed
from franken.skillpack.pcb import pcb
from franken.skillpack.sce import sce
from franken.skillpack.selection import largest, random_subset


def merged_tensors(
    weights: Weights, packs: Mapping[str, SkillPack], factors: Mapping[str, float],
    method: MergeMethod, *, density: float = 0.2, seed: int = 0,
) -> Iterator[tuple[str, Tensor]]:  # fmt: skip
    """``cast(W + merged delta)`` of every tensor that some pack changes, in sorted order."""
    changed = sorted({
        name for pack in packs.values() for name, item in pack.tensors.items()
        if item["form"] != "zero"
    })  # fmt: skip
    order = sorted(packs)
    for name in changed:
        deltas = [
            packs[p].delta(name) if name in packs[p].tensors else torch.zeros(weights.shape(name))
            for p in order
        ]
        scales = [factors.get(p, 1.0) for p in order]
        seeds = [derive_seed(seed, p, name) for p in order]
        delta = merge_deltas(deltas, scales, method, density=density, seeds=seeds)
        original = weights.tensor(name)
        yield name, (original.to(delta.dtype) + delta).to(original.dtype)


def merge_deltas(
    deltas: list[Tensor], scales: list[float], method: MergeMethod, *, density: float = 0.2,
    seeds: list[int] | None = None,
) -> Tensor:  # fmt: skip
    """One change from several of the same tensor.

    Args:
        deltas: of one shape, at least float32.
        scales: factor of each.
        method: sum, average (sum over the sum of factors), ties, dare, sce or pcb.
        density: ties and dare: share of the entries of each that is kept, vectors whole. sce: share
            of the places that take part; pcb: share of the entries of each that count for most.
        seeds: dare: of each.
    """
    if method is MergeMethod.ties:
        return ties(deltas, scales, density)
    if method is MergeMethod.sce:
        return sce(_stacked(deltas, scales), density)
    if method is MergeMethod.pcb:
        return pcb(_stacked(deltas, scales), density)
    if method is MergeMethod.dare and deltas[0].ndim > 1:
        drawn = []
        for delta, seed in zip(deltas, seeds or range(len(deltas)), strict=True):
            places, values = random_subset(lambda d=delta: iter([d]), density, seed)  # type: ignore[misc]
            drawn.append(_scattered(delta, places, values))
        deltas = drawn
    total = torch.zeros_like(deltas[0])
    for delta, scale in zip(deltas, scales, strict=True):
        total = total + (delta if scale == 1.0 else delta * scale)
    return total / sum(scales) if method is MergeMethod.average else total


def ties(deltas: list[Tensor], scales: list[float], density: float) -> Tensor:
    """Trim each to its largest entries, elect the sign of the sum, average those that agree."""
    trimmed = []
    for delta, scale in zip(deltas, scales, strict=True):
        kept = delta
        if delta.ndim > 1:
            count = round(density * delta.numel())
            places, values = largest(lambda d=delta: iter([d]), count)  # type: ignore[misc]
            kept = _scattered(delta, places, values)
        trimmed.append(kept * scale)
    stacked = torch.stack(trimmed)
    elected = torch.sign(stacked.sum(dim=0))
    agree = (torch.sign(stacked) == elected) & (stacked != 0)
    return (stacked * agree).sum(dim=0) / agree.sum(dim=0).clamp(min=1)


def _stacked(deltas: list[Tensor], scales: list[float]) -> Tensor:
    """``(packs, *shape)``."""
    return torch.stack([delta * scale for delta, scale in zip(deltas, scales, strict=True)])


def _scattered(like: Tensor, places: Tensor, values: Tensor) -> Tensor:
    flat = torch.zeros(int(np.prod(like.shape)))
    flat[places] = values
    found: Tensor = flat.reshape(like.shape)
    return found
