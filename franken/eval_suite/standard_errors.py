"""Standard errors of the scores, each by the formula that fits how the score is formed."""

import math
from collections.abc import Sequence


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean by exact summation; NaN for no values."""
    return math.fsum(values) / len(values) if values else math.nan


def binomial_stderr(share: float, n: int) -> float | None:
    """``sqrt(p (1 - p) / n)``: standard error of a share of ``n`` independent items."""
    if n < 1:
        return None
    return math.sqrt(max(0.0, share * (1.0 - share)) / n)


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """``sum(numerators) / sum(denominators)``; NaN where the denominators sum to zero."""
    total = math.fsum(denominators)
    return math.fsum(numerators) / total if total else math.nan


def ratio_stderr(numerators: Sequence[float], denominators: Sequence[float]) -> float | None:
    """Standard error of a ratio of sums over independent units (documents, lines).

    The linearised ratio estimator (Cochran 1977, eq. 2.46 without the finite-population factor):
    ``se = sqrt(n / (n - 1) * sum_i (y_i - R x_i)^2) / sum_i x_i`` with ``R = sum(y) / sum(x)``.

    Returns:
        ``None`` for fewer than two units, where no spread can be seen.
    """
    n = len(numerators)
    total = math.fsum(denominators)
    if n < 2 or not total:
        return None
    share = math.fsum(numerators) / total
    squares = math.fsum((y - share * x) ** 2 for y, x in zip(numerators, denominators, strict=True))
    return math.sqrt(n / (n - 1) * squares) / total
