"""How near the rows of a table are to those that another map makes, such as that of gold links."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from franken.token_map.engine import AppliedMap
from franken.token_map.token_map import Provenance, TokenMap

_CHUNK_ROWS = 1024
_TIE = 1e-5


def closeness(table: Tensor, reference: TokenMap, source: Tensor) -> dict[str, float | int]:
    """Compare rows with those that a reference computes.

    Both without the source's mean row: a common offset would make all rows alike, and the mean row
    itself says nothing of a token. Rows that the reference copies or has no evidence for are no
    measure.

    Args:
        table: ``(T, D)`` rows to judge.
        reference: map of ``T`` rows over the same source.
        source: ``(S, D)`` old rows.

    Returns:
        ``rows`` that were compared; their mean ``cosine`` with the reference's, 1 for the same
        rows; and ``found``, the share of rows that are nearer to the reference's row of their own
        token than to that of any other (or as near): what tells apart tokens, where a cosine may
        rest on what all of them have in common.
    """
    applied = AppliedMap(reference, source)
    mean = applied.statistics.mean.float()
    ids = (reference.provenance == int(Provenance.computed)).nonzero().flatten()
    if not len(ids):
        return {"rows": 0, "cosine": 0.0, "found": 0.0}
    wanted = torch.empty(len(ids), source.shape[1])
    for start in range(0, reference.rows, _CHUNK_ROWS):
        stop = min(start + _CHUNK_ROWS, reference.rows)
        first, last = torch.searchsorted(ids, torch.tensor([start, stop])).tolist()
        rows = applied.rows(start, stop)[ids[first:last] - start]
        wanted[first:last] = normalize(rows.float() - mean, dim=1)
    total, hits = 0.0, 0
    for start in range(0, len(ids), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        rows = normalize(table[ids[part]].float() - mean, dim=1)
        own = (rows * wanted[part]).sum(1)
        nearest = (rows @ wanted.T).amax(1)
        total += float(own.double().sum())
        hits += int(((own >= nearest - _TIE) & (rows != 0).any(1)).sum())
    return {"rows": len(ids), "cosine": total / len(ids), "found": hits / len(ids)}
