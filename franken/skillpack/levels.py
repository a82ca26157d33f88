"""Changes rounded to few levels, of which random entries are kept (UltraDelta)."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from franken.skillpack.selection import Blocks


@dataclass(frozen=True)
class Drawn:
    """Entries kept of a change."""

    places: Tensor
    """``(nnz,)`` int64, ascending."""
    codes: Tensor
    """``(nnz,)`` uint8."""
    levels: Tensor
    """``(2 ** bits,)`` float32."""
    share: float
    """Of the entries that changed: how many of them are kept."""


def draw_by_level(blocks: Blocks, bits: int, wanted: float, seed: int) -> Drawn:
    """Round to ``2^bits`` levels from the least to the largest changed entry; keep some of each.

    Of every level the same share is kept, up to one entry, so the kept ones are spread over the
    levels as all are. Entries that did not change are never kept. Two passes; memory of a block.

    Args:
        blocks: the change, at least one entry of which is not zero.
        bits: width of a code, 1 to 8.
        wanted: entries to keep; all changed ones where there are fewer.
        seed: of the draw.
    """
    low, high, changed = math.inf, -math.inf, 0
    for block in blocks():
        values = block[block != 0]
        changed += values.numel()
        if values.numel():
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    share = min(1.0, wanted / changed)
    top = 2**bits - 1
    step = (high - low) / top
    generator = np.random.Generator(np.random.PCG64(seed))
    seen = np.zeros(top + 1, dtype=np.int64)
    places, codes, at = [], [], 0
    for block in blocks():
        flat = block.reshape(-1).float()
        where = flat.nonzero().flatten().numpy()
        scaled = (flat[where].double() - low) / step if step else torch.zeros(len(where))
        found = scaled.round().clamp_(0, top).to(torch.uint8).numpy()
        kept = _of_each(found, seen, share, generator)
        places.append(torch.from_numpy(where[kept] + at))
        codes.append(torch.from_numpy(found[kept]))
        at += len(flat)
    levels = low + step * torch.arange(top + 1, dtype=torch.float64)
    return Drawn(torch.cat(places), torch.cat(codes), levels.float(), share)


def share_by_deviation(
    matrices: list[tuple[int, float]], density: float, step: float, least: float
) -> list[float]:
    """Shares to keep of matrices, more where the change is spread widely.

    In the order of their standard deviations, matrices within the first third of all entries keep
    ``density - step``, those within the second ``density``; the rest keep what makes the total
    ``density``, if ``least`` and 1 allow.

    Args:
        matrices: entries and standard deviation of each.
        density: share of all entries to keep.
        step: at most ``density``.
        least: bound of what the last part keeps.
    """
    order = sorted(range(len(matrices)), key=lambda at: matrices[at][1])
    total = sum(entries for entries, _ in matrices)
    shares, passed, rest = [density] * len(matrices), 0, density * total
    last = []
    for at in order:
        entries = matrices[at][0]
        passed += entries
        if 3 * passed <= 2 * total:
            shares[at] = density - step if 3 * passed <= total else density
            rest -= shares[at] * entries
        else:
            last.append(at)
    size = sum(matrices[at][0] for at in last)
    for at in last:
        shares[at] = min(1.0, max(least, rest / size))
    return shares


def _of_each(
    codes: np.ndarray, seen: np.ndarray, share: float, generator: np.random.Generator
) -> np.ndarray:
    """Ascending positions of the kept entries of a block; counts what was seen of each level.

    A block keeps of a level what the share of all seen so far says, less what was kept before.
    """
    sizes = np.bincount(codes, minlength=len(seen))
    before = _rounded(seen * share)
    seen += sizes
    quota = _rounded(seen * share) - before
    order = np.argsort(codes + generator.random(len(codes)))
    rank = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[rank < np.repeat(quota, sizes)])


def _rounded(counts: np.ndarray) -> np.ndarray:
    """To the nearest, halves up: then a difference never exceeds what lies between."""
    return np.floor(counts + 0.5).astype(np.int64)
