"""New rows from weights without an engine: row by row, and as the reference releases do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor

from franken.init_method import TokenMap
from franken.token_map.source_statistics import SourceStatistics
from initialisers.timing import now


@contextmanager
def statistics_clock() -> Iterator[list[float]]:
    """Seconds that the statistics of the source took, one entry per pass over it.

    They do not grow with the new rows.
    """
    spent: list[float] = []
    total = SourceStatistics._total

    def timed(self: SourceStatistics, change: Callable[[Tensor], Tensor]) -> Tensor:
        started = now()
        found = total(self, change)
        spent.append(now() - started)
        return found

    with patch.object(SourceStatistics, "_total", timed):
        yield spent


def row_by_row(token_map: TokenMap, source: Tensor, rows: list[int]) -> tuple[Tensor, float]:
    """Gather, multiply, sum, cast. Returns the rows and the seconds."""
    made = torch.empty(len(rows), source.shape[1], dtype=source.dtype)
    started = now()
    for place, row in enumerate(rows):
        start, stop = int(token_map.indptr[row]), int(token_map.indptr[row + 1])
        indices = token_map.indices[start:stop].long()
        weights = token_map.weights[start:stop, None]
        made[place] = (source[indices].float() * weights).sum(dim=0).to(source.dtype)
    return made, now() - started


def source_by_source(token_map: TokenMap, source: Tensor, rows: list[int]) -> float:
    """Seconds of Trans-Tokenization's ``remap_model``: one tensor operation per pair.

    Light sources first, summed in the model's dtype; a single source is copied.
    """
    made = torch.empty(len(rows), source.shape[1], dtype=source.dtype)
    mapping = {row: token_map.row(row)[::-1] for row in rows}
    started = now()
    for place, row in enumerate(rows):
        pairs = mapping[row]
        if len(pairs) == 1:
            made[place] = source[pairs[0][0]]
            continue
        total = torch.zeros(source.shape[1], dtype=source.dtype)
        for index, weight in pairs:
            total += weight * source[index]
        made[place] = total
    return now() - started
