"""From counts of word pairs to counts of token pairs (Trans-Tokenization, section 3).

Half of a word pair's count goes from every source piece to every target piece, half from piece k to
piece k: a model that writes has to know which piece of a word comes first. All pairs of one shape
are spread at a time. Words are tuples of token ids throughout; the release joins pieces by a dash
and tears apart tokens that hold one.
"""

from collections.abc import Callable, Iterable
from functools import cache
from math import gcd, lcm
from typing import Protocol

import numpy as np

from franken.alignment import WordTable
from franken.token_map.options import PairCounts, SpreadConfig
from franken.token_map.token_counts import TokenCounts


class CountOptions(Protocol):
    """Which word pairs count, and how much."""

    counts: PairCounts
    beam_exponent: float | None
    min_count: float
    spread: SpreadConfig


Encoder = Callable[[Iterable[bytes]], list[list[int]]]
"""Texts to token ids; ids that stand for no text are left out."""


def spread_table(
    table: WordTable, config: CountOptions, encode_source: Encoder, encode_target: Encoder
) -> tuple[TokenCounts, int]:
    """Token-pair counts of one language, and how many word pairs they come from.

    A word is encoded as it occurs: after a space, or not. Where it does both, the count is shared
    in proportion; the source word takes the form of the target word's if it has it. In integer
    mode each word has its more frequent form only.
    """
    pairs, counts = filtered_pairs(table, config)
    source_forms, target_forms, counts = _in_context(table, pairs, counts, config.spread.integer)
    sources = _Pieces.of(table.source, source_forms, encode_source)
    targets = _Pieces.of(table.target, target_forms, encode_target)
    return spread(sources.words(), targets.words(), counts, config.spread), len(pairs)


def filtered_pairs(table: WordTable, config: CountOptions) -> tuple[np.ndarray, np.ndarray]:
    """Word pairs that pass ``beam_exponent`` and ``min_count``, and their counts.

    Returns:
        ``(n, 2)`` word numbers and ``(n,)`` float64, whole numbers in integer mode.
    """
    counts = table.links if config.counts is PairCounts.viterbi else table.expected
    if config.spread.integer:
        counts = np.floor(counts)
    kept = (counts > 0) & (counts >= config.min_count)
    if config.beam_exponent is not None and len(table):
        best = np.zeros(len(table.source))
        np.maximum.at(best, table.pairs[:, 0], table.probability)
        with np.errstate(divide="ignore"):
            logs, best = np.log(table.probability), np.log(best)
        kept &= logs >= config.beam_exponent * best[table.pairs[:, 0]]
    return table.pairs[kept], counts[kept]


def spread(
    sources: tuple[np.ndarray, np.ndarray],
    targets: tuple[np.ndarray, np.ndarray],
    counts: np.ndarray,
    config: SpreadConfig,
) -> TokenCounts:
    """Spread the counts of word pairs over the pairs of their pieces.

    Args:
        sources: ``(n + 1,)`` offsets and the piece ids of each pair's source word.
        targets: likewise, of its target word.
        counts: ``(n,)``.
        config: shares, and whether parts are floored.

    Returns:
        Counts; without flooring each target piece of a pair gets the pair's whole count.
    """
    (source_ends, source_ids), (target_ends, target_ids) = sources, targets
    n, m = np.diff(source_ends), np.diff(target_ends)
    parts = []
    for shape in np.unique(np.stack([n, m], axis=1), axis=0).tolist():
        wide, high = shape
        if not wide or not high:
            continue
        chosen = np.flatnonzero((n == wide) & (m == high))
        places, weights = _pattern(wide, high, counts[chosen], config)
        rows = target_ids[target_ends[chosen][:, None] + places[:, 0]]
        columns = source_ids[source_ends[chosen][:, None] + places[:, 1]]
        parts.append((rows.ravel(), columns.ravel(), weights.ravel()))
    return TokenCounts.of(*parts)


def _pattern(
    n: int, m: int, counts: np.ndarray, config: SpreadConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Places (target piece, source piece) ``(e, 2)``, and what each pair gives them ``(k, e)``."""
    every = np.argwhere(np.ones((m, n), dtype=bool))
    slots = slots_in_order(n, m)[every[:, 0], every[:, 1]]
    total = config.all_to_all + config.in_order
    shares = config.all_to_all / total, config.in_order / total
    if n == m == 1:
        return every, counts[:, None].astype(np.float64)
    per_slot = gcd(n, m) / n
    if not config.integer:
        weights = counts[:, None] * (shares[0] / n + shares[1] * per_slot * slots)
        return every, weights
    halves = [np.maximum(1, np.floor(counts * share))[:, None] for share in shares]
    flat = np.maximum(1, halves[0] // n) if shares[0] else 0.0
    ordered = np.maximum(1, halves[1] // (n // gcd(n, m))) if shares[1] else 0.0
    return every, flat + ordered * slots


@cache
def slots_in_order(n: int, m: int) -> np.ndarray:
    """``(m, n)``: how many of the lcm(n, m) slots of both words target piece j shares with i."""
    slots = np.zeros((m, n))
    length = lcm(n, m)
    k = np.arange(length)
    np.add.at(slots, (k * m // length, k * n // length), 1.0)
    return slots


class _Pieces:
    """Words in context as runs of token ids."""

    def __init__(self, ends: np.ndarray, ids: np.ndarray, which: np.ndarray) -> None:
        self._ends, self._ids, self._which = ends, ids, which

    @staticmethod
    def of(words: list[str], forms: np.ndarray, encode: Encoder) -> "_Pieces":
        """Encode each distinct form once.

        Args:
            words: what forms refer to.
            forms: ``(n,)`` twice the word's number, plus 1 after a space.
            encode: texts to ids.
        """
        distinct, which = np.unique(forms, return_inverse=True)
        texts = [b" " * (form & 1) + words[form >> 1].encode() for form in distinct.tolist()]
        pieces = encode(texts)
        ends = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
        flat = np.array([index for ids in pieces for index in ids], dtype=np.int64)
        return _Pieces(ends, flat, which)

    def words(self) -> tuple[np.ndarray, np.ndarray]:
        """Offsets and ids, form by form of the call to :meth:`of`."""
        lengths = np.diff(self._ends)[self._which]
        ends = np.r_[0, np.cumsum(lengths)]
        within = np.arange(ends[-1]) - np.repeat(ends[:-1], lengths)
        return ends, self._ids[np.repeat(self._ends[self._which], lengths) + within]


def _in_context(
    table: WordTable, pairs: np.ndarray, counts: np.ndarray, majority: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forms of the source words, of the target words, and counts; a pair may give two."""
    source_share, target_share = table.source_spaced[pairs[:, 0]], table.target_spaced[pairs[:, 1]]
    sources, targets = 2 * pairs[:, 0].astype(np.int64), 2 * pairs[:, 1].astype(np.int64)
    if majority:
        return sources + (source_share >= 0.5), targets + (target_share >= 0.5), counts
    after, inside = target_share > 0, target_share < 1
    return (
        np.r_[(sources + (source_share > 0))[after], (sources + (source_share == 1))[inside]],
        np.r_[(targets + 1)[after], targets[inside]],
        np.r_[(counts * target_share)[after], (counts * (1 - target_share))[inside]],
    )
