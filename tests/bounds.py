"""Bounds of rounding from the arithmetic, not from what one processor happens to give.

With unit roundoff ``u`` the computed sum of ``n`` products is off by at most ``n u`` times the sum
of their absolute values, in any order of summation (Higham 2002, section 3.1); storing a factor or
the result in a format rounds once more.
"""

import torch

UNIT = {torch.float64: 2.0**-53, torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8}
"""Unit roundoff: half the distance between 1 and the next number."""


def sum_error(
    terms: int, magnitude: float | torch.Tensor, dtype: torch.dtype = torch.float32
) -> float:
    """Largest error of a sum of products in float32, stored in ``dtype``.

    Args:
        terms: products of the longest sum.
        magnitude: the largest sum of absolute values of the products.
        dtype: of the result.
    """
    return ((terms + 2) * UNIT[torch.float32] + UNIT[dtype]) * float(magnitude)


def one_error(terms: int) -> float:
    """How far ``terms`` weights may add up beside 1.

    They are normalised by a float32 sum, stored in float32, and added up.
    """
    return 2 * sum_error(terms, 1.0)
