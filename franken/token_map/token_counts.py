"""Counts of token pairs as coordinates, and rows of weights made of them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TokenCounts:
    """``c(row, column)`` for target rows and source rows: sorted, distinct, positive."""

    rows: np.ndarray
    """``(n,)`` int64 target ids."""
    columns: np.ndarray
    """``(n,)`` int64 source rows."""
    values: np.ndarray
    """``(n,)`` float64."""

    @staticmethod
    def of(*parts: tuple[np.ndarray, np.ndarray, np.ndarray]) -> "TokenCounts":
        """Add up coordinates that occur more than once; drop what is not positive.

        Args:
            parts: triples of rows, columns and values.
        """
        kinds = (np.int64, np.int64, np.float64)
        rows, columns, values = (
            np.concatenate([np.empty(0, kind), *(part[place] for part in parts)]).astype(kind)
            for place, kind in enumerate(kinds)
        )
        positive = values > 0
        rows, columns, values = rows[positive], columns[positive], values[positive]
        order = np.lexsort((columns, rows))
        rows, columns, values = rows[order], columns[order], values[order]
        if not len(rows):
            return TokenCounts(rows, columns, values)
        first = np.r_[True, (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])]
        totals = np.add.reduceat(values, np.flatnonzero(first))
        return TokenCounts(rows[first], columns[first], totals)

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, kept: np.ndarray) -> "TokenCounts":
        """The coordinates that a mask ``(n,)`` keeps."""
        return TokenCounts(self.rows[kept], self.columns[kept], self.values[kept])

    def joined(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As one part for :meth:`of`."""
        return self.rows, self.columns, self.values

    def starts(self) -> np.ndarray:
        """Where each row that occurs begins."""
        return np.flatnonzero(np.r_[True, self.rows[1:] != self.rows[:-1]][: len(self)])

    def shares(self) -> np.ndarray:
        """``(n,)``: each value's share of its row."""
        if not len(self):
            return self.values
        starts = self.starts()
        sizes = np.diff(np.r_[starts, len(self)])
        shares: np.ndarray = self.values / np.repeat(np.add.reduceat(self.values, starts), sizes)
        return shares

    def sharpened(self, top: int | None, temperature: float) -> "TokenCounts":
        """Weights that sum to 1 in each row.

        Args:
            top: keep so many of the heaviest of a row (ties: the lower source row).
            temperature: shares are raised to ``1 / temperature`` before.
        """
        # Relative to the row's heaviest, so that a power of small shares does not vanish.
        weights = self.shares()
        if len(self) and temperature != 1.0:
            starts = self.starts()
            sizes = np.diff(np.r_[starts, len(self)])
            heaviest = np.repeat(np.maximum.reduceat(weights, starts), sizes)
            weights = (weights / heaviest) ** (1.0 / temperature)
        result = TokenCounts(self.rows, self.columns, weights)
        if top is not None and len(self):
            order = np.lexsort((self.columns, -weights, self.rows))
            starts = self.starts()
            sizes = np.diff(np.r_[starts, len(self)])
            rank = np.empty(len(self), dtype=np.int64)
            rank[order] = np.arange(len(self)) - np.repeat(starts, sizes)
            result = result.where(rank < top)
        result = result.where(result.values > 0)
        return TokenCounts(result.rows, result.columns, result.shares())
