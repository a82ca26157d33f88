"""Filling sequences of fixed length from the records of a stream."""

from dataclasses import dataclass
from typing import NamedTuple

from franken.data.corpus import TokenCorpus
from franken.data.shuffle import EndlessOrder

_BLOCK = 1024


class Piece(NamedTuple):
    """A stretch of one record inside a sequence."""

    start: int
    """First token, counted in the corpus."""
    stop: int
    silent: int
    """Leading tokens of the piece without loss."""


class Cursor(NamedTuple):
    """Where a stream stands; all the state it has."""

    position: int = 0
    """Records begun so far, over all epochs."""
    offset: int = 0
    """Tokens of the current record that were read."""


@dataclass
class Packer:
    """Reads sequences of ``length`` tokens from a corpus in a shuffled order.

    Two ways: ``whole`` records are never split and a sequence is padded when the next one does not
    fit (instructions, sentence pairs); otherwise records are laid end to end, and one that crosses
    the end of a sequence continues in the next. The continuation repeats the last token read, so
    that every token but the first of a record is predicted exactly once.
    """

    corpus: TokenCorpus
    length: int
    seed: int
    whole: bool

    def __post_init__(self) -> None:
        self._order = EndlessOrder(self.corpus.size.records, self.seed)
        self._first = -1
        self._records: list[tuple[int, int, int]] = []

    def take(self, cursor: Cursor) -> tuple[list[Piece], Cursor]:
        """The pieces of the next sequence, and where the stream stands afterwards."""
        room = self.length
        pieces: list[Piece] = []
        position, offset = cursor
        while room > 1:
            start, stop, silent = self._record(position)
            left = stop - start - offset
            if self.whole and left > room and pieces:
                break
            count = min(left, room)
            begin = start + offset
            pieces.append(Piece(begin, begin + count, max(silent - offset, 0)))
            room -= count
            if count == left or self.whole:
                position, offset = position + 1, 0
            else:
                offset += count - 1
        return pieces, Cursor(position, offset)

    def _record(self, position: int) -> tuple[int, int, int]:
        """Start, stop and silent tokens of the record at a position of the shuffled order."""
        first = position - position % _BLOCK
        if first != self._first:
            numbers = [self._order[first + step] for step in range(_BLOCK)]
            offsets, silent = self.corpus.offsets, self.corpus.silent
            starts = offsets[numbers].tolist()
            stops = offsets[[number + 1 for number in numbers]].tolist()
            self._records = list(zip(starts, stops, silent[numbers].tolist(), strict=True))
            self._first = first
        return self._records[position - first]
