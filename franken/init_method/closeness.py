"""How near the rows of a table are to those that another map makes, such as that of gold links."""

import torch
from torch import Tensor

from franken.init_method.engine import AppliedMap
from franken.init_method.token_map import Provenance, TokenMap

_CHUNK_ROWS = 4096


def closeness(table: Tensor, reference: TokenMap, source: Tensor) -> dict[str, float | int]:
    """Mean cosine of rows with the rows that a reference computes.

    Both without the source's mean row: a common offset would make all rows alike, and the mean row
    itself says nothing of a token, which counts as 0. Rows that the reference copies or has no
    evidence for are no measure.

    Args:
        table: ``(T, D)`` rows to judge.
        reference: map of ``T`` rows over the same source.
        source: ``(S, D)`` old rows.

    Returns:
        ``rows`` that were compared, and their mean ``cosine``: 1 for the reference's own rows.
    """
    applied = AppliedMap(reference, source)
    mean = applied.statistics.mean.float()
    computed = reference.provenance == int(Provenance.computed)
    total = 0.0
    for start in range(0, reference.rows, _CHUNK_ROWS):
        stop = min(start + _CHUNK_ROWS, reference.rows)
        chosen = computed[start:stop]
        if bool(chosen.any()):
            wanted = applied.rows(start, stop)[chosen].float() - mean
            found = table[start:stop][chosen].float() - mean
            total += float(torch.cosine_similarity(found, wanted, dim=1).double().sum())
    rows = int(computed.sum())
    return {"rows": rows, "cosine": total / max(rows, 1)}
