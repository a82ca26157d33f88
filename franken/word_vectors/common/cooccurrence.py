"""How often words stand near each other, nearer ones counting more."""

from collections.abc import Iterable, Sequence

import numpy as np

_FLUSH = 1 << 23


def cooccurrences(
    sentences: Iterable[Sequence[int]], words: int, window: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum of ``1 / distance`` over all pairs at most ``window`` apart, both ways (GloVe's count).

    Args:
        sentences: numbers of words; -1 stands in its place and counts for nothing.
        words: how many words there are.
        window: furthest distance.

    Returns:
        First words, second words and counts (float64) of all pairs that occur, ascending.
    """
    held: list[tuple[np.ndarray, np.ndarray]] = []
    waiting = 0
    for sentence in sentences:
        ids = np.asarray(sentence, np.int64)
        for distance in range(1, min(window, len(ids) - 1) + 1):
            left, right = ids[:-distance], ids[distance:]
            both = (left >= 0) & (right >= 0)
            keys = left[both] * words + right[both]
            held.append((keys, np.full(len(keys), 1 / distance)))
            waiting += len(keys)
        if waiting > _FLUSH:
            held, waiting = [_summed(held)], 0
    keys, counts = _summed(held)
    turned = keys % words * words + keys // words
    keys, counts = _summed([(keys, counts), (turned, counts)])
    return keys // words, keys % words, counts


def _summed(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    if not parts:
        return np.empty(0, np.int64), np.empty(0)
    keys, places = np.unique(np.concatenate([keys for keys, _ in parts]), return_inverse=True)
    return keys, np.bincount(places, np.concatenate([counts for _, counts in parts]), len(keys))
