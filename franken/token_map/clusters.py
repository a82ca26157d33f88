"""K-means of table rows (Lloyd's iterations from k-means++ centres)."""

import numpy as np
import torch
from torch import Tensor

_CHUNK_ROWS = 16384


def k_means(rows: Tensor, count: int, *, seed: int, iterations: int = 25) -> Tensor:
    """Cluster rows by Euclidean distance.

    Args:
        rows: ``(N, D)``.
        count: clusters; no more than there are different rows are made.
        seed: of the first centres.
        iterations: most updates of the centres; fewer where nothing moves any more.

    Returns:
        ``(N,)`` int64: cluster of each row, numbered from 0; none is empty, but there may be fewer
        than ``count``.
    """
    rows = rows.float()
    centres = _spread(rows, count, np.random.Generator(np.random.Philox(key=seed)))
    found = torch.full((len(rows),), -1)
    for _ in range(iterations):
        nearest = _distances(rows, centres).argmin(1)
        if torch.equal(nearest, found):
            break
        found = nearest
        sums = torch.zeros(centres.shape, dtype=torch.float64).index_add_(0, found, rows.double())
        sizes = torch.bincount(found, minlength=len(centres))
        # a centre that lost all of its rows stays where it is
        moved = (sums / sizes.clamp(min=1)[:, None]).float()
        centres = torch.where(sizes[:, None] > 0, moved, centres)
    numbered: Tensor = found.unique(return_inverse=True)[1]
    return numbered


def _spread(rows: Tensor, count: int, draws: np.random.Generator) -> Tensor:
    """k-means++: each further centre is a row drawn by its squared distance from those before."""
    chosen = [int(draws.integers(len(rows)))]
    nearest = _distances(rows, rows[chosen])[:, 0]
    while len(chosen) < count:
        reach = nearest.double().cumsum(0)
        if not float(reach[-1]) > 0:
            break
        place = torch.searchsorted(reach, draws.random() * float(reach[-1]), right=True)
        chosen.append(min(int(place), len(rows) - 1))
        nearest = torch.minimum(nearest, _distances(rows, rows[chosen[-1:]])[:, 0])
    return rows[chosen].clone()


def _distances(rows: Tensor, centres: Tensor) -> Tensor:
    """``(N, K)`` squared distances, 0 at the centre itself."""
    return torch.cat(
        [
            torch.cdist(part, centres, compute_mode="donot_use_mm_for_euclid_dist").square()
            for part in rows.split(_CHUNK_ROWS)
        ]
    )
