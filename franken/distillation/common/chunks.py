"""The finest chunks whose ends two tokenizations of the same bytes share (arXiv 2503.20083, s3)."""

import numpy as np

NONE = -1
"""Chunk of a token that is in none."""


def common_chunks(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chunk numbers of the tokens of both sides, from 0.

    A chunk ends wherever a token ends on both sides, so that it holds the same bytes on both, and
    no finer cut does.

    Args:
        left: ``(n,)`` ascending ends of tokens, in bytes from the start.
        right: ``(m,)`` the same on the other side.

    Returns:
        ``(n,)`` and ``(m,)`` int64; ``NONE`` past the last shared end, and for tokens of no bytes
        before the first one.
    """
    ends = np.intersect1d(left, right)
    ends = ends[ends > 0]
    return _numbers(left, ends), _numbers(right, ends)


def _numbers(tokens: np.ndarray, ends: np.ndarray) -> np.ndarray:
    found = np.searchsorted(ends, tokens)
    found[(found == len(ends)) | (tokens == 0)] = NONE
    return found.astype(np.int64)
