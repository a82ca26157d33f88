"""What came of an initialisation, as JSON: routes, examples, doubles and norms."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from franken.token_map.explain import phrase
from franken.token_map.row_sources import MemoryRows, RowSource
from franken.token_map.token_map import Provenance, TokenMap

_EXAMPLES = 5
_BINS = 20
_CHUNK_ROWS = 4096


def provenance_report(token_map: TokenMap, table: Tensor | RowSource) -> dict[str, Any]:
    """Describe where the rows come from.

    Args:
        token_map: the map that made the table.
        table: ``(T, D)`` new input rows, in memory or lazily read.

    Returns:
        Plain JSON: the method's notes, counts and examples by provenance, doubled rows, norms.
    """
    rows: RowSource = MemoryRows(table) if isinstance(table, Tensor) else table
    norms = _norms(rows)
    groups, doubled = _doubles(rows, token_map)
    return {
        **token_map.notes,
        "rows": token_map.rows,
        "counts": token_map.counts(),
        "fallback": str(token_map.fallback.kind.value),
        "without_weights": int(
            (
                (token_map.sizes() == 0)
                & (token_map.provenance < int(Provenance.padding))
                & ~token_map.drawn_from_class()
            ).sum()
        ),
        "examples": {kind.name: _examples(token_map, kind) for kind in Provenance},
        "doubled_rows": {"rows": doubled, "groups": groups},
        "norms": _norm_statistics(token_map, norms),
        "source_tokenizer_sha256": token_map.labels.source_sha256,
        "target_tokenizer_sha256": token_map.labels.target_sha256,
    }


def _examples(token_map: TokenMap, kind: Provenance) -> list[str]:
    """A few rows in words, evenly spread over the ids."""
    ids = (token_map.provenance == int(kind)).nonzero().flatten().tolist()
    step = max(1, len(ids) // _EXAMPLES)
    return [phrase(token_map, index) for index in ids[::step][:_EXAMPLES]]


def _of_each_row(
    table: RowSource, dtype: torch.dtype, figure: Callable[[Tensor], Tensor]
) -> Tensor:
    """One figure per row, chunk by chunk.

    Written in place: small results kept between large temporaries would hold the heap of each.
    """
    found = torch.empty(table.shape[0], dtype=dtype)
    for start in range(0, len(found), _CHUNK_ROWS):
        stop = min(start + _CHUNK_ROWS, len(found))
        found[start:stop] = figure(table.rows(start, stop))
    return found


def _norms(table: RowSource) -> np.ndarray:
    norms = _of_each_row(table, torch.float32, lambda rows: rows.float().norm(dim=1))
    found: np.ndarray = norms.numpy()
    return found


def _norm_statistics(token_map: TokenMap, norms: np.ndarray) -> dict[str, Any]:
    """Mean, deviation and a histogram per provenance, all over the same bins.

    Means of k rows are shorter than the rows, about 1/sqrt(k) for unrelated ones, so that their
    tokens start with lower logits: this is where it shows.
    """
    edges = np.linspace(0.0, float(norms.max(initial=0.0)) or 1.0, _BINS + 1)
    result: dict[str, Any] = {"bin_edges": [round(float(edge), 6) for edge in edges]}
    for kind in Provenance:
        chosen = norms[(token_map.provenance == int(kind)).numpy()]
        if len(chosen):
            result[kind.name] = {
                "mean": float(chosen.mean()),
                "std": float(chosen.std()),
                "histogram": np.histogram(chosen, edges)[0].tolist(),
            }
    return result


def _doubles(table: RowSource, token_map: TokenMap) -> tuple[int, int]:
    """Groups of tokens with the very same row, and how many tokens are in them.

    Such tokens stay equal until their inputs differ: pieces of a script that the source knows only
    as bytes in another order, or everything under ``mean``. Rows are told apart by a 64-bit hash.
    """
    width = table.dtype.itemsize
    codes = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[width]
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(-(2**62), 2**62, (table.shape[1],), generator=generator) | 1
    hashes = _of_each_row(
        table, torch.int64, lambda rows: (rows.contiguous().view(codes).long() * factors).sum(1)
    )
    real = token_map.provenance != int(Provenance.padding)
    _, sizes = torch.unique(hashes[real], return_counts=True)
    shared = sizes[sizes > 1]
    return len(shared), int(shared.sum())
