"""Weights for tokens without evidence, from tokens that share their letters.

Trans-Tokenization's release has this and its paper does not. The release lets one such token borrow
from another that borrowed before, in an order that changes from process to process; here all borrow
from tokens with evidence of their own, so no order matters. Bytes that are no text lend nothing.
"""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from franken.token_map.token_counts import TokenCounts

_CHUNK_ENTRIES = 1 << 22


def borrow(
    wanting: Sequence[int],
    names: Sequence[bytes | None],
    lenders: Sequence[int],
    weights: TokenCounts,
    initial: np.ndarray,
    *,
    boost: float,
    integer: bool,
    ignore_word_start: bool,
) -> TokenCounts:
    """Add up the weights of all tokens that lend to a token.

    Args:
        wanting: target ids without evidence.
        names: canonical bytes of all target ids.
        lenders: target ids with evidence that stand for text.
        weights: their rows; each sums to 1.
        initial: ``(S,)`` bool: source rows that begin a word.
        boost: factor on those.
        ignore_word_start: whether ``house`` also begins ``▁houses``.
        integer: parts of 1000 (times ``boost``), floored, 1 at least, as the release has them.

    Returns:
        Counts of the wanting ids that found a lender.
    """
    factors = np.where(initial[weights.columns], boost, 1.0)
    lent = weights.values * factors
    if integer:
        lent = np.maximum(1.0, np.floor(1000.0 * factors * weights.values))
    circle = _Lenders(names, lenders, ignore_word_start)
    starts = np.searchsorted(weights.rows, np.arange(len(names) + 1))
    parts, rows, owners, size = [], [], [], 0
    for row in wanting:
        found = circle.lenders_of(names[row] or b"")
        rows += [row] * len(found)
        owners += found
        size += sum(int(starts[owner + 1] - starts[owner]) for owner in found)
        if size > _CHUNK_ENTRIES:
            parts.append(_gathered(rows, owners, starts, weights.columns, lent))
            rows, owners, size = [], [], 0
    parts.append(_gathered(rows, owners, starts, weights.columns, lent))
    return TokenCounts.of(*(part.joined() for part in parts))


class _Lenders:
    """Tokens with evidence, found by their letters."""

    def __init__(
        self, names: Sequence[bytes | None], lenders: Sequence[int], ignore_word_start: bool
    ) -> None:
        in_order = sorted((names[row] or b"", row) for row in lenders)
        self._names = [name for name, _ in in_order]
        self._rows = [row for _, row in in_order]
        self._by_name: dict[bytes, list[int]] = {}
        for name, row in in_order:
            self._by_name.setdefault(name, []).append(row)
        self._starts = (b"", b" ") if ignore_word_start else (b"",)
        self._longest = max(map(len, self._names), default=0)

    def lenders_of(self, name: bytes) -> list[int]:
        """Tokens that ``name`` begins, then the tokens inside it that lie in no longer such one."""
        if not name:
            return []
        begun: list[int] = []
        for start in self._starts:
            low = bisect_left(self._names, start + name)
            # 0xFF is in no text, so this is just behind the last name that begins so.
            begun += self._rows[low : bisect_left(self._names, start + name + b"\xff")]
        inside: list[bytes] = []
        for length in range(min(len(name) - 1, self._longest), 0, -1):
            for place in range(len(name) - length + 1):
                part = name[place : place + length]
                if part in self._by_name and not any(part in longer for longer in inside):
                    inside.append(part)
        return begun + [row for part in inside for row in self._by_name[part]]


def _gathered(
    rows: list[int], owners: list[int], starts: np.ndarray, columns: np.ndarray, lent: np.ndarray
) -> TokenCounts:
    """The rows of ``owners``, each put on the id in ``rows`` that borrows it, added up."""
    first = starts[np.array(owners, dtype=np.int64)]
    sizes = starts[np.array(owners, dtype=np.int64) + 1] - first
    ends = np.cumsum(sizes)
    places = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(first - ends + sizes, sizes)
    wanting = np.repeat(np.array(rows, dtype=np.int64), sizes)
    return TokenCounts.of((wanting, columns[places], lent[places]))
