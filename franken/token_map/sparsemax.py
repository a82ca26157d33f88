"""Sparsemax over the cosines to all anchors, of which only those that may matter are computed well.

The threshold of a sparsemax over some of the scores is at most that over all. That of the best out
of the maxima of small groups, which are cheap to find, thus leaves all of the support and little
else to be compared. Scores are first made in whatever format the device multiplies fastest, with a
bound on their error; those left are float32 sums of one pair each, so that no weight depends on
that format, nor on which tokens stand beside one.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from franken.errors import CompatibilityError
from franken.token_map.neighbours import Neighbours, fixed_height_product, norms, prepared
from franken.token_map.pair_products import fast_dtype, pair_products

_GROUP = 16
_WIDE = 8
"""Where more than a share of 1 / ``_WIDE`` of the anchors may matter, all are computed."""
_PART = 4096
_BUFFER_BYTES = 128 << 20
_BATCH_ROWS = 128
_BATCH_SCORES = 1 << 22
_BITS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}


def sparsemax(scores: Tensor) -> Tensor:
    """Euclidean projection of each row on the simplex (Martins & Astudillo 2016), float64.

    Args:
        scores: ``(..., k)`` in any order; ``-inf`` marks an entry that takes no part.

    Returns:
        ``(..., k)`` weights, not negative, rows sum to 1.
    """
    exact = scores.double()
    exact = exact - exact.amax(-1, keepdim=True)  # of the same projection, and safe from overflow
    falling = exact.sort(-1, descending=True).values
    count = torch.arange(1, exact.shape[-1] + 1, dtype=torch.float64, device=exact.device)
    totals = falling.cumsum(-1)
    support = (1 + count * falling > totals).sum(-1, keepdim=True)
    threshold = (totals.gather(-1, support - 1) - 1) / support
    return (exact - threshold).clamp_(min=0)


def sparsemax_neighbours(
    queries: Tensor,
    anchors: Tensor,
    *,
    temperature: float = 1.0,
    cap: int = 64,
    chunk_rows: int = 512,
    dtype: torch.dtype | None = None,
) -> Neighbours:
    """``sparsemax(cos / temperature)`` over all anchors, exact though only the best are sorted.

    Args:
        queries: ``(n, d)``; a zero vector has equal weights on all anchors, so leave these out.
        anchors: ``(m, d)``, ``m >= 1`` unless ``n`` is 0.
        temperature: divides the cosines; smaller ones are sparser.
        cap: how many scores the first threshold rests on; does not change the result.
        chunk_rows: queries that are compared at a time; does not change the result.
        dtype: of the first comparison; default: that of :func:`fast_dtype`.
    """
    if len(queries) and not len(anchors):
        raise CompatibilityError("sparsemax_neighbours got no anchors; exclude such queries before")
    anchors = prepared(queries, anchors, "cosine")
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    if not len(queries):
        return _grouped(found)
    search = _Search(anchors, dtype or fast_dtype(anchors.device), temperature, cap)
    height = max(1, min(chunk_rows, _BUFFER_BYTES // (4 * len(anchors))))
    for start in range(0, len(queries), height):
        chunk = queries[start : start + height].to(anchors.device).float()
        rows, columns, scores = search.candidates(chunk / norms(chunk))
        sizes = torch.bincount(rows, minlength=len(chunk))
        # Rows of like size together, so that a few wide ones do not widen all.
        order = sizes.argsort(stable=True)
        ends = sizes.cumsum(0)
        for some in _of_one_width(order, sizes):
            padded, places = _padded(scores, ends - sizes, sizes, some)
            falling, rank = padded.sort(dim=1, descending=True, stable=True)
            weights = sparsemax(falling / temperature)
            row, place = (weights > 0).nonzero(as_tuple=True)
            chosen = places[row, rank[row, place]]
            found.append(
                (
                    (some[row] + start).cpu().numpy(),
                    columns[chosen].cpu().numpy(),
                    weights[row, place].cpu().numpy(),
                )
            )
    return _grouped(found)


class _Search:
    """Finds the anchors that may be in the support.

    The bound: ``|a.q - a'.q'| <= |a - a'| |q| + |a'| |q - q'|`` for rounded ``a'`` and ``q'``, plus
    what the sum over ``d`` products and the rounding of its result lose.
    """

    def __init__(self, anchors: Tensor, dtype: torch.dtype, temperature: float, cap: int) -> None:
        """Args: ``anchors`` ``(m, d)`` float32 of unit length, the others of the function above."""
        self._anchors, self._temperature, self._cap = anchors, temperature, cap
        places = -(-len(anchors) // _GROUP) * _GROUP
        # Places without an anchor score 0, below every positive floor.
        self._coarse = anchors.new_zeros(places, anchors.shape[1], dtype=dtype)
        self._coarse[: len(anchors)] = anchors
        parts = zip(anchors.split(_PART), self._coarse[: len(anchors)].split(_PART), strict=True)
        lost = [(exact - rounded.float()).norm(dim=1).max() for exact, rounded in parts]
        self._lost = float(torch.stack(lost).max())
        self._space = self._coarse.new_empty(0, places)

    def candidates(self, unit: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, ascending, their anchors, ascending, and cosines of all pairs that may matter.

        Args:
            unit: ``(B, d)`` float32 of unit length.
        """
        rows, columns, wide = self._above(unit)
        kept = ~wide[rows]
        rows, columns = rows[kept], columns[kept]
        scores = pair_products(unit, self._anchors, rows, columns)
        if not bool(wide.any()):
            return rows, columns, scores
        own_rows, own_columns, own_scores = self._of_all(unit, wide.nonzero()[:, 0])
        rows, order = torch.cat([rows, own_rows]).sort(stable=True)
        columns, scores = torch.cat([columns, own_columns]), torch.cat([scores, own_scores])
        return rows, columns[order], scores[order]

    def _above(self, unit: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pairs above each row's floor, and rows of which too many are."""
        dtype = self._coarse.dtype
        rounded = unit.to(dtype)
        # As integers, floats of no sign sort as they do, and those with one are below.
        if len(self._space) < len(unit):  # one for all chunks
            self._space = self._coarse.new_empty(len(unit), len(self._coarse))
        scores = torch.mm(rounded, self._coarse.T, out=self._space[: len(unit)])
        bits = scores.view(_BITS[dtype])
        most = bits.view(len(unit), _GROUP, -1).amax(1)
        highest = most.view(dtype).float()
        rounding = 0.6 * torch.finfo(dtype).eps * highest.amax(1, keepdim=True).abs()
        error = self._lost + (unit - rounded.float()).norm(dim=1, keepdim=True) * 1.01 + rounding
        error += 2 * unit.shape[1] * torch.finfo(torch.float32).eps
        floor = self._floor(highest) - 2 * error
        wide = floor[:, 0] <= 0
        least = (floor * (1 - torch.finfo(dtype).eps)).to(dtype).view(_BITS[dtype])
        row, group = ((most >= least) & ~wide[:, None]).nonzero(as_tuple=True)
        sizes = bits.view(len(unit), _GROUP, -1)[row, :, group]
        pair, place = (sizes >= least[row]).nonzero(as_tuple=True)
        stride = bits.shape[1] // _GROUP
        number, _ = ((row * bits.shape[1] + group)[pair] + place * stride).sort()
        rows = number // bits.shape[1]
        wide |= rows.bincount(minlength=len(unit)) * _WIDE > len(self._anchors)
        return rows, number % bits.shape[1], wide

    def _of_all(self, unit: Tensor, wide: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`candidates` for some rows, from their cosines to all anchors."""
        cosines = unit.new_empty(len(wide), len(self._anchors))
        fixed_height_product(unit[wide], self._anchors, out=cosines)
        row, column = (cosines >= self._floor(cosines)).nonzero(as_tuple=True)
        return wide[row], column, cosines[row, column]

    def _floor(self, scores: Tensor) -> Tensor:
        """``(B, 1)`` what no anchor of the support lies below, by some of the scores."""
        some = scores.topk(min(self._cap, scores.shape[1]), dim=1).values.double()
        some /= self._temperature
        best = some[:, :1]
        # Over a support, weights are score minus threshold: any of them gives the threshold back.
        threshold = best - sparsemax(some)[:, :1]
        slack = 1e-6 * (1 + threshold.abs() * self._temperature)  # roundings of float32
        return (threshold * self._temperature - slack).float()


def _of_one_width(order: Tensor, sizes: Tensor) -> Iterator[Tensor]:
    """Rows in their order, in batches that stay small when padded to the widest of each."""
    start = 0
    while start < len(order):
        stop = min(start + _BATCH_ROWS, len(order))
        while stop - start > 1 and (stop - start) * int(sizes[order[stop - 1]]) > _BATCH_SCORES:
            stop = start + (stop - start) // 2
        yield order[start:stop]
        start = stop


def _padded(scores: Tensor, starts: Tensor, sizes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """``(b, k)`` scores of some rows, filled up with -inf, and where they lie in ``scores``."""
    place = torch.arange(int(sizes[rows].max()), device=scores.device)
    places = (starts[rows][:, None] + place).clamp(max=len(scores) - 1)
    return scores[places].masked_fill(place >= sizes[rows][:, None], -torch.inf), places


def _grouped(found: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Neighbours:
    """Runs of one query each, in which weights fall, put in the order of the queries."""
    if not found:
        empty = np.empty(0, np.int64)
        return Neighbours(empty, empty, np.empty(0))
    rows, columns, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    starts = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])
    sizes = np.diff(np.r_[starts, len(rows)])
    runs = np.argsort(rows[starts])
    firsts = np.cumsum(sizes[runs]) - sizes[runs]
    order = np.arange(len(rows)) + np.repeat(starts[runs] - firsts, sizes[runs])
    return Neighbours(rows[order], columns[order], weights[order])
