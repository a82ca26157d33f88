"""Which weights a second phase of training may move: lottery tickets (LT-SFT) and chance.

Ansell et al., ACL 2022, arXiv 2110.07560.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def largest_together(changes: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """The ``count`` entries of greatest size over all tensors jointly.

    Among equal ones the earlier stands, in the order of the mapping.

    Args:
        changes: name -> ``theta_1 - theta_0``, of any shapes.
        count: how many in all; at most as many as there are.

    Returns:
        Name -> bool mask of the same shape; ``count`` entries are true.
    """
    flat = torch.cat([change.detach().abs().flatten() for change in changes.values()])
    chosen = torch.zeros(len(flat), dtype=torch.bool)
    count = min(count, len(flat))
    if count:
        bound = flat.kthvalue(len(flat) - count + 1).values
        chosen[flat > bound] = True
        ties = torch.nonzero(flat == bound).flatten()
        chosen[ties[: count - int(chosen.sum())]] = True
    return _split(chosen, {name: tuple(change.shape) for name, change in changes.items()})


def random_together(
    shapes: Mapping[str, tuple[int, ...]], count: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """As many entries, drawn evenly without looking at the weights: LT-SFT's control."""
    total = sum(map(math.prod, shapes.values()))
    chosen = torch.zeros(total, dtype=torch.bool)
    chosen[torch.randperm(total, generator=generator)[:count]] = True
    return _split(chosen, shapes)


def _split(chosen: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    parts = chosen.split([math.prod(shape) for shape in shapes.values()])
    return {
        name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
