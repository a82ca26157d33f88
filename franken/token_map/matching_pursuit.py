"""Orthogonal matching pursuit: anchors chosen greedily, each for what the others leave unexplained.

tokensurgeon's ``omp`` (arXiv 2506.06607). The coefficients are the least squares over the chosen
anchors, which :mod:`franken.token_map.projection` computes.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from franken.threads import one_thread
from franken.token_map.atom_search import AtomSearch
from franken.token_map.projection import Support

_MUCH_GONE = 1e-2
_CACHED_TOKENS = 8


def pursue(
    queries: Tensor,
    anchors: Tensor,
    k: int,
    *,
    among: np.ndarray | None = None,
    normalise: bool = False,
    tolerance: float = 1e-6,
    chunk_rows: int = 512,
) -> Support:
    """Choose up to ``k`` anchors for each query.

    Each step takes the anchor of the largest absolute inner product with the residual and removes
    its direction from the residual (Gram-Schmidt in float64). The search is screened in lower
    precision and decided in float64 (:mod:`franken.token_map.atom_search`), so the choice is the
    same on every processor, up to anchors that are equally good to the last bits of float64.

    Args:
        queries: ``(n, h)``; a chunk at a time is brought to the anchors.
        anchors: ``(m, h)``, on the device that does the work.
        k: at most ``min(k, h, m)`` are taken: past ``h`` the residual is rounding noise (the
            release goes on and its coefficients explode).
        among: ``(a,)`` numbers of the anchors that may be chosen, ascending, where they are not
            all: a large table is then read where it lies.
        normalise: compare directions; otherwise long anchors are preferred, as released.
        tolerance: a query whose residual is below this share of its norm is finished.
        chunk_rows: queries at a time; does not change the result.

    As many chunks are worked on at once as torch may use threads, each with one: no step waits for
    another thread, and no bit depends on how many there are; elsewhere than on the CPU one chunk at
    a time. Memory: ``chunk_rows x (2 k h + 2,048)`` floats for each.
    """
    allowed = None if among is None else torch.from_numpy(among).to(anchors.device)
    steps = min(k, queries.shape[1], len(anchors) if allowed is None else len(allowed))
    chosen = torch.full((len(queries), steps), -1, device="cpu")
    if not steps:
        return Support.of_table(chosen)
    search = AtomSearch(anchors.float(), among=allowed, normalise=normalise)

    def work(part: slice) -> None:
        rows = queries[part].to(anchors.device).double()
        chosen[part] = _pursue(rows, anchors, steps, search, tolerance).cpu()

    parts = [slice(start, start + chunk_rows) for start in range(0, len(queries), chunk_rows)]
    workers = torch.get_num_threads() if anchors.device.type == "cpu" else 1
    with one_thread(), ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, parts))
    return Support.of_table(chosen)


def _pursue(
    residual: Tensor, atoms: Tensor, steps: int, search: AtomSearch, tolerance: float
) -> Tensor:
    """``(B, steps)`` anchor numbers; -1 once a query is finished."""
    count, width = residual.shape
    residual = residual.clone()
    length = residual.norm(dim=1)
    goal = length * tolerance
    basis = residual.new_empty(count, steps, width)
    chosen = residual.new_full((count, steps), -1, dtype=torch.int64)
    active = length > goal
    for step in range(steps):
        if not bool(active.any()):
            break
        best = search.best(_rows_where(active, residual), chosen[:, :step])
        active = active & (best >= 0)
        direction = atoms[best.clamp(min=0)].double()
        direction, is_new = _apart_from(direction, basis[:, :step])
        active = active & is_new
        direction = _rows_where(active, direction)
        basis[:, step] = direction
        inner = torch.linalg.vecdot(residual, direction)
        residual.addcmul_(inner[:, None], direction, value=-1)
        chosen[:, step] = torch.where(active, best, -1)
        active = active & (residual.norm(dim=1) > goal)
    return chosen


def _rows_where(kept: Tensor, rows: Tensor) -> Tensor:
    """The rows, those that are not kept as zeros."""
    return rows if bool(kept.all()) else torch.where(kept[:, None], rows, 0.0)


def _apart_from(rows: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Rows without their parts in orthonormal bases, of length 1, and whether anything was left.

    Classical Gram-Schmidt, a second time where much of a row went (``(B, h)`` rows, ``(B, t, h)``
    bases): what the first leaves of a basis is ``2**-53`` of the row's length.
    """
    length = rows.norm(dim=1)
    rows = _without(rows, basis)
    left = rows.norm(dim=1)
    again = (left < _MUCH_GONE * length).nonzero().flatten()
    if len(again):
        rows[again] = _without(rows[again], basis[again])
        left[again] = rows[again].norm(dim=1)
    is_new = left > 1e-7 * length  # an atom in the span of the others adds nothing
    return rows.div_(left.clamp(min=torch.finfo(left.dtype).tiny)[:, None]), is_new


def _without(rows: Tensor, basis: Tensor) -> Tensor:
    # As products of rows, not columns: MKL is twice as fast. Of a few tokens at a time, whose bases
    # the second product finds in the cache: a fifth less on AMD processors.
    found = torch.empty_like(rows)
    step = _CACHED_TOKENS if rows.device.type == "cpu" else max(1, len(rows))
    for part in (slice(start, start + step) for start in range(0, len(rows), step)):
        inner = torch.bmm(rows[part, None], basis[part].mT)
        torch.baddbmm(rows[part, None], inner, basis[part], alpha=-1, out=found[part, None])
    return found
