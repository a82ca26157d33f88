"""Rows of a finished model that its training hardly touched.

Land & Bartolo 2024 (arXiv 2405.05417), as tokensurgeon's ``magikarp`` filter has it: what no text
ever moved stays near the rows that no token uses. Only weights are looked at, so this is a
suspicion; a helper that franken trains counts its text instead.
"""

import re

import torch
from torch import Tensor

_RESERVED = re.compile(
    r"\W*(unused|reserved)[\W_]*(special[\W_]*token[\W_]*)?\d*\W*", re.IGNORECASE
)
_QUANTILE = 0.99
_LOWEST = 0.5


def untrained_rows(rows: Tensor, vocabulary: dict[str, int], reserved: Tensor) -> Tensor:
    """``(T,)`` bool: rows as near to the rows that nobody uses as no trained row is.

    Args:
        rows: ``(T, h)`` rows by token id.
        vocabulary: token -> id; names such as ``<unused7>`` are of tokens that nobody uses.
        reserved: ``(p, h)`` the table's rows past the last token; may be empty.

    Returns:
        Rows whose cosine with the mean unused row is above 0.5 and above that of 99 % of all; the
        unused tokens themselves. Nothing where no row is known to be unused.
    """
    named = [i for name, i in vocabulary.items() if i < len(rows) and _RESERVED.fullmatch(name)]
    found = torch.zeros(len(rows), dtype=torch.bool)
    found[named] = True
    unused = torch.cat([rows[found], reserved]).float()
    unused = unused[(unused != 0).any(1)]
    others = ((rows != 0).any(1) & ~found).nonzero().flatten()
    if not len(unused) or not len(others):
        return found
    cosines = torch.cosine_similarity(rows[others].float(), unused.mean(0)[None], dim=1)
    place = min(len(cosines) - 1, int(_QUANTILE * len(cosines)))
    limit = max(_LOWEST, float(cosines.sort().values[place]))
    found[others[cosines > limit]] = True
    return found
