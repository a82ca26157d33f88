"""The nearest anchors of many vectors, and weights over them; never a ``queries x anchors`` matrix.

Similarities are float32 matrix products of one fixed height, so that no row depends on how many
there are or how they are tiled; of each tile only the best ``k`` columns are kept. They are made
where the anchors lie; what is found comes back to the CPU, where maps are made.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from franken.errors import CompatibilityError
from franken.parts.table import all_finite
from franken.products import product_into

_TILE_ROWS = 16384
_PRODUCT_ROWS = 128  # BLAS rounds a row differently in a product of another height, so it is fixed
_BUFFER_BYTES = 128 << 20
_GROUP = 16


@dataclass(frozen=True)
class Neighbours:
    """Weights over anchors in coordinate form; grouped by query, ascending."""

    rows: np.ndarray
    """``(P,)`` int64 query numbers."""
    columns: np.ndarray
    """``(P,)`` int64 anchor numbers, by falling weight within a query."""
    weights: np.ndarray
    """``(P,)`` float64, positive."""


def top_neighbours(
    queries: Tensor,
    anchors: Tensor,
    k: int,
    *,
    metric: str = "cosine",
    query_rows: Tensor | None = None,
    anchor_rows: Tensor | None = None,
    chunk_rows: int = 512,
) -> tuple[Tensor, Tensor]:
    """The ``k`` most similar anchors of each query.

    Args:
        queries: ``(n, d)``; where they lie elsewhere than the anchors, a chunk is brought there.
        anchors: ``(m, d)``, on the device that does the work.
        k: how many; at most ``m`` are returned.
        query_rows: ``(n,)`` rows of a larger ``queries`` that are asked; spares a copy of them.
        anchor_rows: ``(m,)`` rows of a larger ``anchors`` that may be chosen, likewise; anchor
            numbers are places in it.
        metric: ``cosine`` (zero vectors have similarity 0), ``dot``, or ``euclidean`` (the score is
            minus the distance).
        chunk_rows: queries whose similarities are held at a time, if these fit 128 MiB; does not
            change the result.

    Returns:
        Anchor numbers ``(n, min(k, m))`` int64 and scores float32, scores falling; equal scores by
        ascending anchor number.

    Raises:
        CompatibilityError: where the widths differ or a value is NaN or infinite.
    """
    anchors = prepared(queries, anchors, metric, anchor_rows)
    count, width = len(queries if query_rows is None else query_rows), min(k, len(anchors))
    columns = torch.empty(count, width, dtype=torch.int64, device="cpu")
    scores = torch.empty(count, width, device="cpu")
    for start, similarity in _similarities(queries, anchors, metric, chunk_rows, query_rows):
        stop = start + len(similarity)
        scores[start:stop], columns[start:stop] = _best(similarity, width)
    return columns, scores


def nearest_rows(
    queries: Tensor, table: Tensor, rows: Tensor, k: int, *, tile_rows: int = _TILE_ROWS
) -> Tensor:
    """The ``k`` rows of a table with the largest cosine to each query.

    :func:`top_neighbours` with as little of the table in float32 at a time as one tile.

    Args:
        queries: ``(n, d)``.
        table: ``(S, d)``, any float dtype.
        rows: ``(m,)`` ascending numbers of the rows that may be chosen.
        k: how many; at most ``m`` are returned.
        tile_rows: rows that are compared at a time.

    Returns:
        ``(n, min(k, m))`` int64 numbers of table rows, the nearest first; equal ones ascending.
    """
    best_rows = torch.empty(len(queries), 0, dtype=torch.int64, device="cpu")
    best_scores = torch.empty(len(queries), 0, device="cpu")
    for tile in rows.split(tile_rows):
        columns, scores = top_neighbours(queries, table[tile], k)
        best_scores = torch.cat([best_scores, scores], 1)
        best_rows = torch.cat([best_rows, tile.cpu()[columns]], 1)
        # Earlier tiles have lower rows and come first, so a stable sort keeps equal ones ascending.
        best_scores, order = best_scores.sort(dim=1, descending=True, stable=True)
        best_scores, best_rows = best_scores[:, :k], best_rows.gather(1, order[:, :k])
    return best_rows


def softmax_weights(scores: Tensor, temperature: float) -> Tensor:
    """``softmax(scores / temperature)`` over the last dimension, float64."""
    return torch.softmax(scores.double() / temperature, -1)


def fixed_height_product(left: Tensor, right: Tensor, *, out: Tensor) -> None:
    """``left @ rightᵀ`` into ``out``, each row with the same bits whatever rows stand beside it."""
    for start in range(0, len(left), _PRODUCT_ROWS):
        part = left[start : start + _PRODUCT_ROWS]
        if len(part) == _PRODUCT_ROWS:
            product_into(out[start : start + _PRODUCT_ROWS], part, right)
        else:
            block = torch.zeros(_PRODUCT_ROWS, left.shape[1], device=left.device)
            block[: len(part)] = part
            made = product_into(out.new_empty(_PRODUCT_ROWS, len(right)), block, right)
            out[start : start + len(part)] = made[: len(part)]


def prepared(queries: Tensor, anchors: Tensor, metric: str, rows: Tensor | None = None) -> Tensor:
    """The anchors (or some rows of them) in float32, of unit length for ``cosine``."""
    if metric not in ("cosine", "dot", "euclidean"):
        raise CompatibilityError(
            f"metric {metric!r} is unknown; it is one of cosine, dot, euclidean"
        )
    if queries.shape[1] != anchors.shape[1]:
        raise CompatibilityError(
            f"queries have {queries.shape[1]} dimensions and anchors {anchors.shape[1]}; both must "
            "come from one space"
        )
    for name, side in (("queries", queries), ("anchors", anchors)):
        if not all_finite(side):
            raise CompatibilityError(f"{name} hold NaN or infinite values; repair their vectors")
    made = (anchors if rows is None else anchors[rows]).float()
    if metric != "cosine":
        return made
    return made / norms(made) if made is anchors else made.div_(norms(made))


def norms(rows: Tensor) -> Tensor:
    """``(n, 1)`` lengths, 1 for zero rows."""
    norms = rows.norm(dim=1, keepdim=True)
    return torch.where(norms > 0, norms, 1.0)


def _similarities(
    queries: Tensor,
    anchors: Tensor,
    metric: str,
    chunk_rows: int,
    query_rows: Tensor | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Chunks of the similarity matrix with their first row; each is overwritten by the next."""
    count = len(queries if query_rows is None else query_rows)
    fitting = _BUFFER_BYTES // (4 * max(len(anchors), 1)) // _PRODUCT_ROWS * _PRODUCT_ROWS
    height = min(chunk_rows, max(fitting, _PRODUCT_ROWS), count)
    buffer = torch.empty(max(height, 1), len(anchors), device=anchors.device)
    squares = anchors.square().sum(1) if metric == "euclidean" else None
    for start in range(0, count, len(buffer)):
        some = slice(start, start + len(buffer))
        chunk = queries[some if query_rows is None else query_rows[some]]
        chunk = chunk.to(anchors.device).float()
        chunk = chunk / norms(chunk) if metric == "cosine" else chunk
        scores = buffer[: len(chunk)]
        fixed_height_product(chunk, anchors, out=scores)
        if squares is not None:
            scores.mul_(-2).add_(squares).add_(chunk.square().sum(1)[:, None])
            scores.clamp_(min=0).sqrt_().neg_()
        yield start, scores


def _best(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Scores and columns of the ``k`` largest, falling; ties by column.

    They lie in the ``k`` groups of the largest maxima, and maxima are cheap to find: of many
    columns only those of these groups are searched.
    """
    stride = similarity.shape[1] // _GROUP
    if stride < 2 * k:
        columns = similarity.topk(k, dim=1, sorted=False).indices
    else:
        groups = similarity[:, : stride * _GROUP].view(len(similarity), _GROUP, stride).amax(1)
        chosen = groups.topk(k, dim=1, sorted=False).indices
        where = similarity.device
        members = chosen[:, None] + stride * torch.arange(_GROUP, device=where)[:, None]
        rest = torch.arange(stride * _GROUP, similarity.shape[1], device=where)
        rest = rest.expand(len(similarity), -1)
        among = torch.cat([members.flatten(1), rest], 1)
        found = similarity.gather(1, among).topk(k, dim=1, sorted=False).indices
        columns = among.gather(1, found)
    columns = columns.sort(1).values
    scores, order = similarity.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return scores, columns.gather(1, order)
