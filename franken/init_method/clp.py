"""CLP-Transfer: each token a mixture of all shared tokens, weighted by the helper's cosines.

Ostendorff & Rehm 2023 (arXiv 2301.09626): ``w_o = cos(h_t, h_o) / Σ_o cos``. The weights sum to 1
and may be negative. Departures, off with ``parity``: only the anchors of the largest absolute
cosine have a weight, since all of them would be a dense matrix; a row whose cosines nearly cancel
follows the fallback, since its weights would explode. Known weakness, kept: near-uniform weights
make all new rows almost equal and far shorter than the source's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from franken.config.checks import at_least, in_range
from franken.declare import option
from franken.init_method.common.helper import AnchorInit
from franken.lazy import later

with later():
    import numpy as np
    import torch

    from franken.token_map.anchors import Coordinates, HelperSpace
    from franken.token_map.builder import MapBuilder
    from franken.token_map.neighbours import top_neighbours
    from franken.token_map.projection import refuse_dense


@option
class ClpInit(AnchorInit):
    """Every new row a mixture of the shared tokens, weighted by the cosines in a target-language
    model (CLP-Transfer).
    """

    paper: ClassVar[str] = "Ostendorff & Rehm 2023, arXiv 2301.09626"

    max_anchors: int = 512
    """Only so many anchors, those of the largest absolute cosine, have a weight: all of them would
    be a dense matrix."""
    parity: bool = False
    """All anchors and no guard against vanishing sums, as released; refused where the weights
    would not fit (2**25 entries)."""
    min_sum: float = 0.1
    """A row whose cosines nearly cancel (|sum| below this share of the sum of absolute values)
    follows the fallback: its absolute weights would sum to more than 1 / ``min_sum``. Few such rows
    spoil every softmax: at 0.001, 81 of 3,585 took real Swahili from 5.6 to 18 bits per byte."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("max_anchors", self.max_anchors, 1)
        yield from in_range("min_sum", self.min_sum, 0.0, 1.0)

    def weigh(self, space: HelperSpace, builder: MapBuilder) -> Coordinates:
        count = len(space.anchors)
        if self.parity:
            refuse_dense(len(space.tokens), count)
        k = count if self.parity else min(self.max_anchors, count)
        columns, cosines = _strongest(space, k)
        sums, absolute = cosines.sum(1), np.abs(cosines).sum(1)
        sound = sums != 0 if self.parity else np.abs(sums) > self.min_sum * absolute
        builder.notes["vanishing_sums"] = int((~sound).sum())
        weights = cosines[sound] / sums[sound, None]
        rows = np.repeat(np.flatnonzero(sound), k)
        return rows, columns[sound].reshape(-1), weights.reshape(-1)


def _strongest(space: HelperSpace, k: int) -> tuple[np.ndarray, np.ndarray]:
    """``(n, k)`` anchors of the largest absolute cosine, and their cosines in float64."""
    columns, scores = top_neighbours(space.token_rows, space.anchor_rows, k)
    if k < len(space.anchors):
        opposite, negative = top_neighbours(-space.token_rows, space.anchor_rows, k)
        columns, scores = torch.cat([columns, opposite], 1), torch.cat([scores, -negative], 1)
        # An anchor may stand in both halves; the second copy must not be taken.
        strength = torch.cat(
            [scores[:, :k].abs(), torch.where(scores[:, k:] < 0, -scores[:, k:], -1.0)], 1
        )
        strength[:, :k] = torch.where(scores[:, :k] < 0, -1.0, strength[:, :k])
        best = strength.topk(k, dim=1).indices
        columns, scores = columns.gather(1, best), scores.gather(1, best)
    return columns.numpy(), scores.double().numpy()
