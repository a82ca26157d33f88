"""95 % intervals: around the score where the normal curve fits, Wilson's near 0 and 1."""

import math

Z = 1.959963984540054
"""The normal curve holds 95 % within so many standard errors."""
FEW = 10.0
"""Right or wrong answers below which the normal interval of a share is not to be trusted."""


def wilson_interval(share: float, trials: float) -> tuple[float, float]:
    """Wilson's score interval of a share of so many independent trials (Wilson 1927).

    Args:
        share: in 0..1.
        trials: how many; of clustered items their effective number, see ``effective_trials``.
    """
    square = Z * Z / trials
    center = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    return max(0.0, center - half), min(1.0, center + half)


def effective_trials(share: float, stderr: float | None, clusters: int) -> float:
    """Independent trials that would have the clustered standard error.

    Without spread (all right or all wrong) the clusters are counted, each as one trial: answers
    within one may be the same.
    """
    spread = share * (1 - share)
    if not stderr or spread <= 0:
        return float(max(clusters, 1))
    return min(spread / stderr**2, 1e12)


def is_extreme(share: float, trials: float) -> bool:
    """Whether a share lies so near 0 or 1 that an error bar would leave the scale or vanish."""
    return min(share, 1 - share) * trials < FEW


def normal_interval(value: float, stderr: float) -> tuple[float, float]:
    """The score with 1.96 standard errors on either side."""
    return value - Z * stderr, value + Z * stderr
