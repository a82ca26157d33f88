"""Sentence pairs as two lists of numbered words."""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from franken.alignment.common.words import WordSplitter
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


Splitter = Callable[[WordSplitter, str], tuple[list[int], list[bool]]]
"""How a sentence becomes numbered words."""


def by_script(splitter: WordSplitter, text: str) -> tuple[list[int], list[bool]]:
    """Words as :mod:`franken.alignment.common.words` cuts them."""
    return splitter(text)


def by_space(splitter: WordSplitter, text: str) -> tuple[list[int], list[bool]]:
    """Strings between spaces: text that was cut before, to which links refer."""
    ids = [splitter.number(token) for token in text.split()]
    return ids, [True] * len(ids)


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
    sides = (_Growing(), _Growing())
    taken = 0
    for pair in pairs:
        if max_pairs is not None and taken == max_pairs:
            break
        source = splitter(sides[0].splitter, pair[0])
        target = splitter(sides[1].splitter, pair[1])
        if source[0] and target[0]:
            taken += 1
            sides[0].add(*source)
            sides[1].add(*target)
    if not taken:
        raise DataError("the parallel text holds no sentence pair with words on both sides")
    return Bitext(sides[0].finish(), sides[1].finish())


class _Growing:
    """A side while it is read."""

    def __init__(self) -> None:
        self.splitter = WordSplitter()
        self._ids, self._spaced, self._ends = array("i"), array("b"), array("q", [0])

    def add(self, ids: list[int], spaced: list[bool]) -> None:
        self._ids.extend(ids)
        self._spaced.extend(spaced)
        self._ends.append(len(self._ids))

    def finish(self) -> Side:
        """Renumber by the alphabet, so that the order of sentences does not matter.

        Words that only left-out pairs had are dropped. Ids are renumbered where they lie, a stretch
        at a time: numpy's own counts and choices would hold eight bytes a word more.
        """
        ids = np.frombuffer(self._ids, dtype=np.int32)
        spaced = np.frombuffer(self._spaced, dtype=np.int8)
        stretches = [slice(at, at + _STRETCH) for at in range(0, len(ids), _STRETCH)]
        count = len(self.splitter.numbers)
        seen, apart = np.zeros(count, np.int64), np.zeros(count)
        for part in stretches:
            seen += np.bincount(ids[part], minlength=count)
            apart += np.bincount(ids[part], spaced[part], count)
        kept = sorted((word, i) for word, i in self.splitter.numbers.items() if seen[i])
        old = np.array([index for _, index in kept], dtype=np.int64)
        new = np.zeros(count, dtype=np.int32)
        new[old] = np.arange(len(kept), dtype=np.int32)
        for part in stretches:
            ids[part] = new[ids[part]]
        words, offsets = [word for word, _ in kept], np.array(self._ends, np.int64)
        return Side(words, ids, offsets, apart[old] / seen[old])
