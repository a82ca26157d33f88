"""How far one next-token distribution is from another."""

from torch import Tensor


def divergence(goal: Tensor, found: Tensor) -> Tensor:
    """``(n,)`` Kullback-Leibler from ``goal`` to ``found``, ``(n, k)`` log-probabilities both."""
    return (goal.exp() * (goal - found)).sum(1)
