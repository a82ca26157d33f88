"""Go on with BPE where a finished tokenizer stopped."""

import heapq
import itertools
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from franken.tokenizer.compose import Merge
from franken.tokenizer.token_words import FIRST_LETTER, TokenWords

MIN_FREQUENCY = 2

_Pair = tuple[int, int]


@dataclass(frozen=True)
class Continuation:
    """What was learnt on top of a tokenizer."""

    pieces: list[str]
    """New pieces, best first."""
    merges: list[Merge]
    """In the order in which they apply. Some lead to a piece that the tokenizer has already: then
    there is one more way to it."""
    counts: list[int]
    """How often the text held the pair of each new piece when it was merged."""
    refused: int
    """Pairs that were not merged since the source text holds them."""


def continue_merges(
    words: TokenWords,
    names: Sequence[str],
    count: int,
    *,
    guarded: Container[tuple[int, int]] = (),
    apart: Container[int] = (),
    min_frequency: int = MIN_FREQUENCY,
    longest: int | None = None,
) -> Continuation:
    """Learn merges of neighbouring tokens inside a word (Sennrich et al., 2016).

    The tokens are those of a finished tokenizer, so that what is learnt never stands in the way of
    its own merges, nor they in its.

    Args:
        words: the words of the training text.
        names: the piece of each token.
        count: new pieces wanted; fewer come back where the text is short.
        guarded: pairs of tokens that shall stay apart.
        apart: tokens that are never part of a new piece.
        min_frequency: a pair that the text holds less often is not merged.
        longest: longest new piece, in characters of ``names``.

    Returns:
        Equal results for equal words. Of pairs that are equally frequent the one that was met first
        wins: the one with the lower ids.
    """
    table = _Table(words)
    pieces = list(names)
    ids = {piece: index for index, piece in enumerate(pieces)}
    found: list[str] = []
    counts: list[int] = []
    merges: list[Merge] = []
    refused = 0
    for frequency, pair in table.best_first(min_frequency):
        left, right = pieces[pair[0]], pieces[pair[1]]
        whole = left + right
        if pair in guarded:
            refused += 1
            continue
        if pair[0] in apart or pair[1] in apart or (longest and len(whole) > longest):
            continue
        if whole not in ids:
            if len(found) == count:
                break
            ids[whole] = len(pieces)
            pieces.append(whole)
            found.append(whole)
            counts.append(frequency)
        merges.append((left, right))
        table.merge(pair, ids[whole])
    return Continuation(found, merges, counts, refused)


class _Table:
    """Words as lists of symbols, with the counts of their pairs."""

    def __init__(self, words: TokenWords) -> None:
        self._words: list[list[int]] = []
        self._weights: list[int] = []
        self._counts: dict[_Pair, int] = defaultdict(int)
        self._places: dict[_Pair, set[int]] = defaultdict(set)
        for word, weight in sorted(words.words.items()):
            if len(word) < 2:
                continue
            symbols = [ord(letter) - FIRST_LETTER for letter in word]
            place = len(self._words)
            self._words.append(symbols)
            self._weights.append(weight)
            for pair in itertools.pairwise(symbols):
                self._counts[pair] += weight
                self._places[pair].add(place)
        self._heap = [(-count, pair) for pair, count in self._counts.items()]
        heapq.heapify(self._heap)

    def best_first(self, min_frequency: int) -> Iterator[tuple[int, _Pair]]:
        """The most frequent pair of what the words have become; each pair comes once."""
        seen: set[_Pair] = set()
        while self._heap:
            count, pair = heapq.heappop(self._heap)
            now = self._counts.get(pair, 0)
            if pair in seen or now < min_frequency:
                continue
            if now != -count:
                heapq.heappush(self._heap, (-now, pair))
                continue
            seen.add(pair)
            yield now, pair

    def merge(self, pair: _Pair, new: int) -> None:
        """Write ``new`` wherever ``pair`` stands."""
        left, right = pair
        counts, places, grown = self._counts, self._places, set()
        for place in places.pop(pair, ()):
            symbols, weight = self._words[place], self._weights[place]
            merged: list[int] = []
            index, size = 0, len(symbols)
            while index < size:
                if index + 1 < size and symbols[index] == left and symbols[index + 1] == right:
                    merged.append(new)
                    index += 2
                else:
                    merged.append(symbols[index])
                    index += 1
            if len(merged) == size:
                continue
            for old in itertools.pairwise(symbols):
                counts[old] -= weight
            for fresh in itertools.pairwise(merged):
                counts[fresh] += weight
                if new in fresh:
                    places[fresh].add(place)
                    grown.add(fresh)
            self._words[place] = merged
        for fresh in grown:
            heapq.heappush(self._heap, (-counts[fresh], fresh))
        counts.pop(pair, None)
