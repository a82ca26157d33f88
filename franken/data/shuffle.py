"""A shuffled order of any length that needs no memory: position -> record."""

import numpy as np
import numpy.typing as npt

from franken.seeds import derive_seed

_ROUNDS = 6
_BLOCK = 2048


def permute(positions: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.int64]:
    """Places of ``positions`` in a pseudo-random permutation of ``range(count)``.

    A Feistel network over the next power of four with cycle walking (Black & Rogaway 2002): a
    bijection that is computed point by point, so that the order of 10^9 records takes no memory and
    a position is all the state there is.

    Args:
        positions: Values in ``[0, count)``, any shape.
        count: Length of the permutation.
        seed: Chooses the permutation.

    Returns:
        Same shape; distinct positions have distinct places.
    """
    half = np.uint64(max(1, (max(count - 1, 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    keys = [np.uint64(derive_seed(seed, "round", index)) for index in range(_ROUNDS)]
    places = positions.astype(np.uint64).reshape(-1)
    pending = np.ones(places.shape, dtype=bool)
    while pending.any():
        left, right = places[pending] >> half, places[pending] & mask
        for key in keys:
            left, right = right, left ^ (_mix(right, key) & mask)
        places[pending] = (left << half) | right
        pending[pending] = places[pending] >= np.uint64(count)
    return places.astype(np.int64).reshape(positions.shape)


def _mix(value: npt.NDArray[np.uint64], key: np.uint64) -> npt.NDArray[np.uint64]:
    """Finaliser of splitmix64; wrap-around is wanted."""
    value = (value + np.uint64(0x9E3779B97F4A7C15)) * (key | np.uint64(1))
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31)) ^ key


class EndlessOrder:
    """Record of every position of an endless stream: each epoch is a new permutation.

    Positions are served from a cached block; the cache does not change results.
    """

    def __init__(self, count: int, seed: int) -> None:
        """Args: ``count`` records, and the ``seed`` of the order."""
        self.count = count
        self.seed = seed
        self._first = -1
        self._block: list[int] = []

    def __getitem__(self, position: int) -> int:
        """The record at a position, counted from the start of the first epoch."""
        first = position - position % _BLOCK
        if first != self._first:
            self._first, self._block = first, self._read(first)
        return self._block[position - first]

    def _read(self, first: int) -> list[int]:
        places: list[int] = []
        position, stop = first, first + _BLOCK
        while position < stop:
            epoch, start = divmod(position, self.count)
            length = min(self.count - start, stop - position)
            chunk = np.arange(start, start + length, dtype=np.int64)
            places += permute(chunk, self.count, derive_seed(self.seed, "epoch", epoch)).tolist()
            position += length
        return places
