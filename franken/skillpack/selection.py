"""Which entries of a change are kept: the largest, or random ones; streamed, without sorting."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from franken.config.pack import PackConfig
from franken.parts.forms import SparseForm, form_bytes
from franken.seeds import derive_seed
from franken.skillpack.policy import Plan

_PIECE = 1 << 20
Blocks = Callable[[], Iterator[Tensor]]
"""Gives the rows of a change in blocks, from the first on, each time it is called."""


def largest(blocks: Blocks, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` entries of largest magnitude, ties by position.

    The bits of a non-negative float32, read as an integer, are ordered as the numbers are: a
    histogram over the upper half finds the bin of the threshold, one over the lower half the
    threshold itself. Two counting passes and one that collects; memory of one block.

    Returns:
        Ascending flat positions ``(count,)`` int64, and values float32.
    """
    if count <= 0:
        return torch.empty(0, dtype=torch.int64), torch.empty(0)
    upper = np.zeros(1 << 16, dtype=np.int64)
    for block in blocks():
        _count(upper, _magnitude(block) >> 16)
    above = np.cumsum(upper[::-1])[::-1]
    bin_ = int(np.flatnonzero(above >= count)[-1]) if above[0] >= count else 0
    need = count - int(above[bin_ + 1] if bin_ + 1 < len(above) else 0)
    lower = np.zeros(1 << 16, dtype=np.int64)
    for block in blocks():
        bits = _magnitude(block)
        _count(lower, bits[bits >> 16 == bin_] & 0xFFFF)
    above = np.cumsum(lower[::-1])[::-1]
    low = int(np.flatnonzero(above >= need)[-1])
    threshold = (bin_ << 16) | low
    ties = need - int(above[low + 1] if low + 1 < len(above) else 0)
    return _collect(blocks, threshold, ties)


def random_subset(blocks: Blocks, density: float, seed: int) -> tuple[Tensor, Tensor]:
    """Each entry with probability ``density``, divided by it (DARE).

    Draws go row by row of the blocks in their order, whatever the size of the blocks.
    """
    generator = np.random.Generator(np.random.PCG64(derive_seed(seed, "dare")))
    places, values, at = [], [], 0
    for block in blocks():
        flat = block.reshape(-1).float()
        kept = torch.from_numpy(generator.random(len(flat), dtype=np.float32) < density)
        found = kept.nonzero().flatten()
        places.append(found + at)
        values.append(flat[found] / density)
        at += len(flat)
    return torch.cat(places), torch.cat(values)


def _count(histogram: np.ndarray, values: np.ndarray) -> None:
    """Add to a histogram; in pieces, for ``bincount`` makes an int64 copy of what it counts."""
    for start in range(0, len(values), _PIECE):
        piece = values[start : start + _PIECE]
        histogram += np.bincount(piece, minlength=len(histogram))


def _magnitude(block: Tensor) -> np.ndarray:
    bits: np.ndarray = block.reshape(-1).float().abs().contiguous().numpy().view(np.int32)
    return bits


def _collect(blocks: Blocks, threshold: int, ties: int) -> tuple[Tensor, Tensor]:
    places, values, at = [], [], 0
    for block in blocks():
        bits = _magnitude(block)
        keep = bits > threshold
        equal = np.flatnonzero(bits == threshold)[:ties]
        ties -= len(equal)
        keep[equal] = True
        found = torch.from_numpy(np.flatnonzero(keep))
        places.append(found + at)
        values.append(block.reshape(-1).float()[found])
        at += len(bits)
    return torch.cat(places), torch.cat(values)


def sparse_form(plan: Plan, policy: PackConfig, places: Tensor, values: Tensor) -> SparseForm:
    """Kept entries as a form; an entry that did not change needs no place."""
    kept = values != 0
    return SparseForm.encode(
        plan.shape, places[kept], values[kept],
        bits=plan.rule.bits, index=str(plan.rule.index), group_size=policy.quant.group,
    )  # fmt: skip


def sparse_description(plan: Plan, group: int) -> dict[str, Any]:
    """What the form of a plan would say of itself, as far as its size goes."""
    sparse = {
        "form": "sparse", "shape": list(plan.shape), "nnz": round(plan.rule.density * plan.entries),
        "bits": plan.rule.bits, "group_size": group,
    }  # fmt: skip
    return cheapest_index(sparse, str(plan.rule.index))


def cheapest_index(described: dict[str, Any], index: str) -> dict[str, Any]:
    """A description with the index asked for; row lists, which follow from values, left out."""
    candidates = ("bitmap", "csr") if index in ("auto", "rows") else (index,)
    return min(
        ({**described, "index": candidate} for candidate in candidates),
        key=lambda item: form_bytes(item),
    )
