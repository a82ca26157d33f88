"""Statistics of draws, for figures and for reports alike; imports no torch."""

from collections.abc import Sequence

import numpy as np

LEVEL = 0.95
RESAMPLES = 2000


def best_of(right: int | np.ndarray, total: int | np.ndarray, k: int) -> np.ndarray:
    """``1 - C(M - c, k) / C(M, k)``: the chance that k of M draws hold a right one.

    Args:
        right: c, the number of right ones; an array has one per sample.
        total: M, or M per sample.
        k: at most the least of ``total``.
    """
    miss = np.ones(np.shape(right))
    for step in range(k):
        miss *= np.clip(total - right - step, 0, None) / (total - step)
    return 1.0 - miss


def bootstrap_mean(
    values: Sequence[float] | np.ndarray,
    seed: int = 0,
    clusters: Sequence[str] | None = None,
) -> tuple[float, float, float]:
    """Mean over samples, and its 95 % percentile bootstrap interval.

    Args:
        values: one per sample.
        seed: of the resamples.
        clusters: what each sample belongs to, such as the question that it asks in one of several
            languages; clusters are resampled whole. ``None``: every sample is one of its own.
    """
    values = np.asarray(values, dtype=float)
    kinds = (
        np.arange(len(values)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    )
    sums, sizes = np.bincount(kinds, values), np.bincount(kinds).astype(float)
    count = len(sums)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    means = (draws @ sums) / (draws @ sizes)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(values.mean()), float(low), float(high)
