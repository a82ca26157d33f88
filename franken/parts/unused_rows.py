"""Rows of a finished model that its training hardly touched: Gemma's 6,242 ``<unusedN>`` and more.

Land & Bartolo 2024 (arXiv 2405.05417), as tokensurgeon's ``magikarp`` filter has it: what no text
ever moved stays near the rows that no token uses. Only weights are looked at, so this is a
suspicion; a helper that franken trains counts its text instead.
"""

import re
from collections.abc import Iterable

import torch
from torch import Tensor

_RESERVED = re.compile(
    r"\W*(unused|reserved)[\W_]*(special[\W_]*token[\W_]*)?\d*\W*", re.IGNORECASE
)
_QUANTILE = 0.99
_LOWEST = 0.5
_FEWEST = 4
"""Rows that nobody uses: fewer tell no direction."""
_CHUNK = 512
"""Rows in float32 at a time: few enough that they stay in the cache, for a fifth of the time."""


def untrained_rows(
    rows: Tensor, vocabulary: dict[str, int], reserved: Tensor, *, unwritten: Iterable[int] = ()
) -> Tensor:
    """``(T,)`` bool: rows as near to the rows that nobody uses as no trained row is.

    Args:
        rows: ``(T, h)`` rows by token id.
        vocabulary: token -> id; names such as ``<unused7>`` are of tokens that nobody uses.
        reserved: ``(p, h)`` the table's rows past the last token; may be empty.
        unwritten: ids that no text comes to; as unused as those that are named so.

    Returns:
        Rows whose cosine with the mean unused row is above 0.5 and above that of 99 % of all; the
        unused tokens themselves. Only these where they point no more in one direction than the
        other rows do, which the median of each one's cosine with the mean of the rest tells.
    """
    size = len(rows)
    named = [i for name, i in vocabulary.items() if i < size and _RESERVED.fullmatch(name)]
    found = torch.zeros(len(rows), dtype=torch.bool)
    found[[*named, *(index for index in unwritten if index < size)]] = True
    unused = torch.cat([rows[found], reserved]).float()
    unused = unused[(unused != 0).any(1)]
    if len(unused) < _FEWEST:
        return found
    centre = unused.mean(0)
    cosines = _cosines(rows, centre)
    others = (~found & cosines.isfinite()).nonzero().flatten()
    if not len(others):
        return found
    near = cosines[others]
    place = min(len(near) - 1, int(_QUANTILE * len(near)))
    limit = max(_LOWEST, float(near.sort().values[place]))
    if float(_cosines_to_the_others(unused).median()) <= limit:
        return found
    found[others[near > limit]] = True
    return found


def _cosines(rows: Tensor, centre: Tensor) -> Tensor:
    """``(T,)`` cosines of rows with one vector; NaN for zero rows."""
    found = torch.empty(len(rows))
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK].float()
        found[start : start + _CHUNK] = (part @ centre) / (part.norm(dim=1) * centre.norm())
    return found


def _cosines_to_the_others(rows: Tensor) -> Tensor:
    """``(n,)`` cosine of each row with the mean of all the others."""
    rest = (rows.sum(0) - rows) / (len(rows) - 1)
    return torch.cosine_similarity(rows, rest)
