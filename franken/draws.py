"""Chances of drawing without return, for figures and for reports alike; imports no torch."""

import numpy as np


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
