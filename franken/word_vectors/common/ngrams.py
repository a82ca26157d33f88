"""Character n-grams of words and the buckets that fastText hashes them to."""

from collections.abc import Sequence

import numpy as np

_START, _PRIME = np.uint32(2166136261), np.uint32(16777619)


def hashed_ngrams(
    words: Sequence[str], min_n: int, max_n: int, buckets: int
) -> tuple[np.ndarray, np.ndarray]:
    """Buckets of all n-grams, as ``Dictionary::computeSubwords`` of fastText has them.

    A word stands between the marks ``<`` and ``>``; a mark alone is no n-gram. FNV-1a over the
    bytes of UTF-8, each widened with its sign.

    Args:
        words: any strings.
        min_n: characters of the shortest n-gram.
        max_n: characters of the longest.
        buckets: their number.

    Returns:
        ``(all,)`` int64 buckets, word by word, by start and then by length, and ``(words + 1,)``
        int64 ends: those of word ``i`` are ``[ends[i]:ends[i + 1]]``.
    """
    data = np.frombuffer("".join(f"<{word}>" for word in words).encode(), np.int8)
    starts = np.flatnonzero((data.view(np.uint8) & 0xC0) != 0x80)
    sizes = np.diff(starts, append=len(data))  # bytes of each character
    lengths = np.fromiter((len(word) + 2 for word in words), np.int64, len(words))
    left = np.repeat(lengths.cumsum(), lengths) - np.arange(len(starts))  # characters to the end
    hashes = np.zeros((len(starts), max(max_n, 0)), np.uint32)
    is_mark = np.zeros(len(starts), bool)
    is_mark[lengths.cumsum() - 1] = is_mark[lengths.cumsum() - lengths] = True
    state = np.full(len(starts), _START)
    for n in range(1, max_n + 1):
        alive = np.flatnonzero(left >= n)
        last = alive + n - 1
        for byte in range(4):
            here = sizes[last] > byte
            alive, last = alive[here], last[here]
            widened = data[starts[last] + byte].astype(np.int32).view(np.uint32)
            state[alive] = (state[alive] ^ widened) * _PRIME
        hashes[:, n - 1] = state
    each = np.arange(1, hashes.shape[1] + 1)
    kept = (each >= min_n) & (each <= left[:, None]) & ~((each == 1) & is_mark[:, None])
    per_word = np.zeros(len(words) + 1, np.int64)
    np.add.at(per_word[1:], np.repeat(np.arange(len(words)), lengths), kept.sum(1))
    return hashes[kept].astype(np.int64) % buckets, per_word.cumsum()
