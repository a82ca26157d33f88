"""Sentence pairs as two lists of numbered words."""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from franken.alignment.common.words import words_of
from franken.errors import DataError

if TYPE_CHECKING:
    from franken.data.source import Pair


_STRETCH = 1 << 20


@dataclass(frozen=True)
class Side:
    """All sentences of one language, one after the other."""

    words: list[str]
    """Distinct words, sorted."""
    ids: np.ndarray
    """``(tokens,)`` int32 word numbers."""
    offsets: np.ndarray
    """``(sentences + 1,)`` int64: sentence ``i`` is ``ids[offsets[i]:offsets[i + 1]]``."""
    spaced: np.ndarray
    """``(words,)`` float64: share of a word's occurrences with a space, or nothing, before it."""

    @property
    def lengths(self) -> np.ndarray:
        """``(sentences,)`` words per sentence."""
        return np.diff(self.offsets)

    def sentence(self, index: int) -> list[str]:
        """The words of one sentence."""
        ids = self.ids[self.offsets[index] : self.offsets[index + 1]]
        return [self.words[word] for word in ids.tolist()]


@dataclass(frozen=True)
class Bitext:
    """Sentences and their translations."""

    source: Side
    target: Side

    def __len__(self) -> int:
        return len(self.source.offsets) - 1

    def swapped(self) -> "Bitext":
        """The same pairs with the languages' places exchanged."""
        return Bitext(self.target, self.source)


Splitter = Callable[[str], list[str]]
"""How a string between spaces becomes words, one at least."""


def by_script(string: str) -> list[str]:
    """Words as :mod:`franken.alignment.common.words` cuts them."""
    return words_of(string)


def by_space(string: str) -> list[str]:
    """Strings between spaces: text that was cut before, to which links refer."""
    return [string]


def read_bitext(
    pairs: Iterable["Pair | tuple[str, str]"],
    *,
    max_pairs: int | None = None,
    splitter: Splitter = by_script,
) -> Bitext:
    """Number the words of sentence pairs.

    Args:
        pairs: source sentence first; pairs with a side that holds no word are left out.
        max_pairs: pairs taken at most.
        splitter: how sentences are cut.

    Raises:
        DataError: where no pair is left.
    """
    sides = (_Growing(splitter), _Growing(splitter))
    taken = 0
    for pair in pairs:
        if max_pairs is not None and taken == max_pairs:
            break
        source, target = pair[0].split(), pair[1].split()
        if source and target:
            taken += 1
            sides[0].add(source)
            sides[1].add(target)
    if not taken:
        raise DataError("the parallel text holds no sentence pair with words on both sides")
    return Bitext(sides[0].finish(), sides[1].finish())


class _Strings(dict[str, int]):
    """Strings between spaces, numbered as they are asked for; each is cut once."""

    def __init__(self, splitter: Splitter) -> None:
        super().__init__()
        self._splitter = splitter
        self.words: dict[str, int] = {}
        """Word -> its number, by first occurrence."""
        self.flat, self.widths = array("i"), array("i")
        """Numbers of the words of all strings, one string after the other; words per string."""

    def __missing__(self, string: str) -> int:
        words = self._splitter(string)
        self.flat.extend(self.words.setdefault(word, len(self.words)) for word in words)
        self.widths.append(len(words))
        number = self[string] = len(self)
        return number


class _Growing:
    """A side while it is read."""

    def __init__(self, splitter: Splitter) -> None:
        self._strings = _Strings(splitter)
        self._ids, self._ends = array("i"), array("q", [0])

    def add(self, sentence: list[str]) -> None:
        """One sentence, as strings between spaces."""
        self._ids.extend(map(self._strings.__getitem__, sentence))
        self._ends.append(len(self._ids))

    def finish(self) -> Side:
        """Words instead of strings, numbered by the alphabet: the order of sentences is no matter.

        A stretch of strings at a time: numpy's own places would hold eight bytes a word more.
        """
        strings = self._strings
        words = sorted(strings.words)
        number = np.empty(len(words), np.int32)
        number[[strings.words[word] for word in words]] = np.arange(len(words), dtype=np.int32)
        flat = number[np.frombuffer(strings.flat, np.int32)]
        widths = np.frombuffer(strings.widths, np.int32)
        starts = np.cumsum(widths) - widths
        ids, offsets = np.frombuffer(self._ids, np.int32), np.array(self._ends, np.int64)
        parts, times = [], np.zeros(len(widths))
        for at in range(0, len(ids), _STRETCH):
            found = ids[at : at + _STRETCH]
            times += np.bincount(found, minlength=len(widths))
            wide = widths[found]
            ends = np.cumsum(wide)
            within = np.arange(ends[-1]) + np.repeat(starts[found] - ends + wide, wide)
            parts.append(flat[within])
        lengths = np.add.reduceat(widths[ids], offsets[:-1], dtype=np.int64)
        seen = np.bincount(flat, np.repeat(times, widths), len(words))
        apart = np.bincount(flat[starts], times, len(words))
        ends = np.concatenate([[0], np.cumsum(lengths)])
        return Side(words, np.concatenate(parts), ends, apart / seen)
