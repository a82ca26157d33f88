"""Rows of a table that deserve a look: zero, not finite, far longer than the rest, doubled.

Norms alone do not find rows that were planted to take over (arXiv 2601.00065: they look ordinary in
the donor); :mod:`franken.inspect` therefore also looks at what a model does with them.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from franken.parts.table_rows import Reader, TableRows
from franken.parts.tokenizer_files import token_count

logger = logging.getLogger(__name__)

LONG = 4.0
"""Times the median norm. The longest rows of SmolLM2 and Gemma 3 have 2.4 and 1.004 times it."""
ZERO = 1e-3
"""Times the median norm, below which a row is as good as zero."""
_CHUNK = 8192
_EXAMPLES = 10


@dataclass(frozen=True)
class RowReport:
    """Ids of rows, by what is odd about them."""

    rows: int
    median_norm: float
    longest: float
    zero: list[int]
    not_finite: list[int]
    long: list[int]
    twins: list[list[int]]
    """Groups of ids with the very same row, zero rows apart."""

    def odd(self) -> dict[str, list[int]]:
        """What no sound table has; twins may be sound (tokens that nothing was learnt of)."""
        named = {"zero": self.zero, "not_finite": self.not_finite, "long": self.long}
        return {name: ids for name, ids in named.items() if ids}

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Plain data; ids come with the names of their tokens, a few of each."""

        def named(ids: Sequence[int]) -> list[list[Any]]:
            return [[i, names[i] if i < len(names) else None] for i in ids[:_EXAMPLES]]

        found: dict[str, Any] = {
            "rows": self.rows, "median_norm": self.median_norm, "longest": self.longest
        }  # fmt: skip
        for kind in ("zero", "not_finite", "long"):
            ids = getattr(self, kind)
            found[kind] = {"count": len(ids), "examples": named(ids)}
        found["twins"] = {
            "rows": sum(map(len, self.twins)),
            "examples": [named(group[:4]) for group in self.twins[:_EXAMPLES]],
        }
        return found


def report_rows(read: Reader, count: int, *, twins: bool = True) -> RowReport:
    """Look at rows in chunks, so that a table on disk need not be loaded.

    Args:
        read: ``read(start, stop)`` gives rows ``(n, D)``.
        count: T, how many there are.
        twins: whether rows are compared with each other; if not, none is found.
    """
    norms = np.zeros(count)
    hashes = np.arange(count)
    for start in range(0, count, _CHUNK):
        part = read(start, min(start + _CHUNK, count))
        norms[start : start + len(part)] = part.double().norm(dim=1).numpy()
        if twins:
            raw = part.contiguous().view(torch.uint8).numpy()
            hashes[start : start + len(part)] = [hash(row.tobytes()) for row in raw]
    finite = np.isfinite(norms)
    median = float(np.median(norms[finite & (norms > 0)])) if (finite & (norms > 0)).any() else 0.0
    zero = finite & (norms <= ZERO * median)
    return RowReport(
        count,
        median,
        float(norms[finite].max(initial=0.0)),
        zero.nonzero()[0].tolist(),
        (~finite).nonzero()[0].tolist(),
        (finite & (norms > LONG * median)).nonzero()[0].tolist() if median else [],
        _twins(hashes, finite & ~zero),
    )


def _twins(hashes: np.ndarray, sound: np.ndarray) -> list[list[int]]:
    """Groups of sound rows with one hash, by their first ids."""
    ids = sound.nonzero()[0]
    _, group, sizes = np.unique(hashes[ids], return_inverse=True, return_counts=True)
    found: dict[int, list[int]] = {}
    for place in (sizes[group] > 1).nonzero()[0]:
        found.setdefault(int(group[place]), []).append(int(ids[place]))
    return sorted(found.values())


def warn_of_odd_rows(rows: TableRows, what: str) -> None:
    """Name rows of tokens that no sound table has, in a warning.

    Args:
        rows: in memory or on disk.
        what: of whom they are, to begin with.
    """
    count = min(rows.count, token_count(rows.tokenizer))
    for part in ("input", "output"):
        if part not in rows.readers:
            continue
        for kind, ids in report_rows(rows.readers[part], count, twins=False).odd().items():
            names = rows.tokenizer.convert_ids_to_tokens(ids[:3])
            logger.warning(
                "%s: %d of %d %s rows are %s (%s, ...); `python -m franken.inspect` has the list",
                what, len(ids), count, part,
                f"over {LONG:g} times as long as the median" if kind == "long"
                else kind.replace("_", " "),
                ", ".join(map(repr, names)),
            )  # fmt: skip
