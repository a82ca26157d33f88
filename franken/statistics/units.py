"""What a score is made of, item by item, and its standard error with clusters of items."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

UNITS_FILE = "units.jsonl"
"""A line per score with its items, beside the scores."""
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """The items of one score, which is ``sum(above) / sum(below)``.

    Attributes:
        ids: what an item is called, the same in every language and for every system.
        above: an item's part of the numerator: 1 for a right answer, its bits, ...
        below: its part of the denominator (bytes, tokens); ``None``: 1 each.
        clusters: what items depend on together, such as the passage that they ask about; ``None``:
            each item stands by itself.
    """

    ids: tuple[str, ...]
    above: tuple[float, ...]
    below: tuple[float, ...] | None = None
    clusters: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse columns of different lengths.

        Raises:
            ValueError: naming them.
        """
        columns = {"above": self.above, "below": self.below, "clusters": self.clusters}
        lengths = {name: len(own) for name, own in columns.items() if own is not None}
        if any(length != len(self.ids) for length in lengths.values()):
            raise ValueError(f"{len(self.ids)} items, but {lengths}")

    @classmethod
    def of(
        cls, ids: Iterable[Any], above: Iterable[float], below: Iterable[float] | None = None,
        clusters: Iterable[Any] | None = None,
    ) -> "Units":  # fmt: skip
        """From any values; ids and clusters become text."""
        return cls(
            tuple(map(str, ids)), tuple(map(float, above)),
            None if below is None else tuple(map(float, below)),
            None if clusters is None else tuple(map(str, clusters)),
        )  # fmt: skip

    @property
    def groups(self) -> tuple[str, ...]:
        """The cluster of each item."""
        return self.ids if self.clusters is None else self.clusters

    @property
    def sizes(self) -> tuple[float, ...]:
        """The denominator's parts."""
        return (1.0,) * len(self.ids) if self.below is None else self.below

    def to_json(self) -> dict[str, Any]:
        """Plain data; columns that say nothing are left out."""
        found: dict[str, Any] = {"ids": list(self.ids), "above": list(self.above)}
        if self.below is not None:
            found["below"] = list(self.below)
        if self.clusters is not None:
            found["clusters"] = list(self.clusters)
        return found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Units":
        """The inverse of ``to_json``."""
        return cls.of(value["ids"], value["above"], value.get("below"), value.get("clusters"))


def ratio(units: Units) -> float:
    """The score; NaN where the denominators sum to zero."""
    total = math.fsum(units.sizes)
    return math.fsum(units.above) / total if total else math.nan


def influences(parts: Sequence[Units]) -> dict[str, float]:
    """How much each cluster moves the mean of several scores (languages, seeds).

    The linearised ratio estimator: an item of a score ``R`` moves it by
    ``(above - R below) / sum(below)`` (Cochran 1977, 2.11); summed within a cluster over all parts.
    """
    return dict(_influences(tuple(parts)))


@lru_cache(maxsize=4096)  # tables compare every system with several others
def _influences(parts: tuple[Units, ...]) -> dict[str, float]:
    moved: dict[str, float] = defaultdict(float)
    for part in parts:
        score, total = ratio(part), math.fsum(part.sizes) * len(parts)
        for group, above, below in zip(part.groups, part.above, part.sizes, strict=True):
            moved[group] += (above - score * below) / total
    return moved


def clustered_stderr(moved: Mapping[str, float]) -> float | None:
    """Standard error of a mean of scores from what its clusters move.

    ``sqrt(C / (C - 1) sum_c m_c^2)``: the cluster-robust error (Miller 2024, "Adding error bars to
    evals", eq. 4) with the correction for few clusters.

    Returns:
        ``None`` for fewer than two clusters, where no spread can be seen.
    """
    count = len(moved)
    if count < 2:
        return None
    return math.sqrt(count / (count - 1) * math.fsum(value * value for value in moved.values()))


def pseudo_values(counts: Array, score: Callable[[Array], float]) -> Array:
    """The jackknife's pseudo-values of a corpus score (chrF, BLEU): its items' parts.

    ``theta + (n - 1) (theta - theta_without_i)``; their mean is the score up to its bias, and their
    spread over ``sqrt(n)`` its standard error (Efron and Tibshirani 1993, 11.2).

    Args:
        counts: ``(n, K)`` counts of each item.
        score: the score of summed counts.
    """
    total, n = counts.sum(axis=0), len(counts)
    whole = score(total)
    without = np.array([score(total - own) for own in counts])
    return np.asarray(whole + (n - 1) * (whole - without), dtype=np.float64)
