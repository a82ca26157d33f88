"""Two systems on the same items: McNemar's exact test, the paired bootstrap."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from franken.statistics.intervals import normal_interval
from franken.statistics.units import Array, Units, clustered_stderr, influences, ratio

RESAMPLES = 2000
LEVEL = 0.05
"""Differences with a smaller p are marked."""


@dataclass(frozen=True)
class Comparison:
    """``second - first``, item by item.

    Attributes:
        value: the difference, each side averaged over its languages and seeds.
        stderr: its clustered standard error over items.
        p: two-sided p over items.
        test: ``McNemar``, ``bootstrap`` or ``unpaired``.
        items: clusters in common.
        better: items where the second is higher, where one language and seed is compared.
        worse: where it is lower.
        seeds: spread (standard deviation) of the difference over the seeds, where both sides have
            several in common.
        seed_p: two-sided p over the seeds by the paired t-test, likewise.
    """

    value: float
    stderr: float | None
    p: float | None
    test: str
    items: int
    better: int | None = None
    worse: int | None = None
    seeds: float | None = None
    seed_p: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the difference is clear over the items, and over the seeds where there are some.

        Not corrected for the number of comparisons.
        """
        over_items = self.p is not None and self.p < LEVEL
        return over_items and (self.seed_p is None or self.seed_p < LEVEL)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval over items."""
        return None if self.stderr is None else normal_interval(self.value, self.stderr)


def compare(
    first: Mapping[int, Sequence[Units]], second: Mapping[int, Sequence[Units]]
) -> Comparison | None:
    """Compare two systems.

    Args:
        first: seed -> the scores that are averaged (one per language).
        second: likewise.

    Returns:
        ``None`` where the two have fewer than two clusters in common: nothing is paired then.
    """
    sides = [[part for own in side.values() for part in own] for side in (first, second)]
    if not all(sides):
        return None
    names = [{group for part in side for group in part.groups} for side in sides]
    shared = names[0] & names[1]
    if len(shared) < 2:
        return None
    values = [sum(map(ratio, side)) / len(side) for side in sides]
    own, other = (influences(side) for side in sides)
    # Items of one side alone move its score all the same.
    moved = {
        name: other.get(name, 0.0) - own.get(name, 0.0) for name in sorted(names[0] | names[1])
    }
    value, stderr = values[1] - values[0], clustered_stderr(moved)
    spread, seed_p = _over_seeds(first, second)
    counts = _discordant(*sides) if len(sides[0]) == len(sides[1]) == 1 else None
    better, worse, shares = counts or (None, None, False)
    if counts is not None and shares and sides[0][0].clusters is None:
        test, p = "McNemar", mcnemar(counts[0], counts[1])
    else:
        test, p = "bootstrap", _bootstrap_p(value, np.array(list(moved.values())))
    return Comparison(value, stderr, p, test, len(shared), better, worse, spread, seed_p)


def mcnemar(better: int, worse: int) -> float:
    """Exact two-sided p of McNemar's test: are the items on which two systems differ a fair coin.

    Args:
        better: items that only the second has right.
        worse: items that only the first has right.
    """
    n, least = better + worse, min(better, worse)
    tail = sum(math.comb(n, k) for k in range(least + 1))
    return min(1.0, float(2 * tail / 2**n))


def _discordant(first: Sequence[Units], second: Sequence[Units]) -> tuple[int, int, bool] | None:
    """Items on which the second is higher and lower, and whether all are right or wrong answers.

    ``None`` where the items are not the same on both sides, or occur twice.
    """
    (own,), (other,) = first, second
    one = dict(zip(own.ids, zip(own.above, own.sizes, strict=True), strict=True))
    two = dict(zip(other.ids, zip(other.above, other.sizes, strict=True), strict=True))
    if one.keys() != two.keys() or len(one) != len(own.ids) or len(two) != len(other.ids):
        return None
    if any(not one[name][1] or not two[name][1] for name in one):
        return None
    gaps = [two[name][0] / two[name][1] - one[name][0] / one[name][1] for name in one]
    found = {value for side in (one, two) for value, size in side.values() if size == 1.0}
    shares = found <= {0.0, 1.0} and own.below is None and other.below is None
    return sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps), shares


def _bootstrap_p(value: float, moved: Array) -> float:
    """Two-sided p of a difference by resampling clusters, with the score linearised.

    The share of resamples whose difference, moved to zero, is at least as large; one is added to
    both counts, so that it is never 0 (Davison and Hinkley 1997, 4.2).
    """
    count = len(moved)
    shifts = math.sqrt(count / (count - 1)) * (_weights(count) @ moved.astype(np.float32))
    extreme = int((np.abs(shifts) >= abs(value) * (1 - 1e-5)).sum())
    return (extreme + 1) / (RESAMPLES + 1)


@lru_cache(maxsize=8)
def _weights(count: int) -> npt.NDArray[np.float32]:
    """``(RESAMPLES, count)`` how much more or less often than once a resample takes each cluster.

    Kept, as a report compares many systems on equally many items.
    """
    draw = np.random.default_rng(0)
    return np.concatenate([
        draw.multinomial(count, np.full(count, 1 / count), size=100).astype(np.float32) - 1
        for _ in range(RESAMPLES // 100)
    ])  # fmt: skip


def _over_seeds(
    first: Mapping[int, Sequence[Units]], second: Mapping[int, Sequence[Units]]
) -> tuple[float | None, float | None]:
    """Standard deviation and p of the difference over the seeds that both have."""
    common = sorted(first.keys() & second.keys())
    if len(common) < 2:
        return None, None

    def mean(parts: Sequence[Units]) -> float:
        return sum(map(ratio, parts)) / len(parts)

    gaps = np.array([mean(second[seed]) - mean(first[seed]) for seed in common])
    spread = float(gaps.std(ddof=1))
    if not spread:
        return 0.0, None  # the same model under every seed: nothing to test
    from scipy.special import stdtr

    t = abs(gaps.mean()) / (spread / math.sqrt(len(gaps)))
    return spread, float(2 * stdtr(len(gaps) - 1, -t))
