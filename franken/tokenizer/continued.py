"""Go on with BPE where a finished tokenizer stopped."""

import heapq
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from franken.tokenizer.compose import Merge
from franken.tokenizer.token_words import FIRST_LETTER, TokenWords, placed_pairs

MIN_FREQUENCY = 2


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
    fits: Callable[[str], bool] | None = None,
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
        fits: whether a piece may be made; ``None``: all may.

    Returns:
        Equal results for equal words. Of pairs that are equally frequent the one that was met first
        wins: the one with the lower ids.
    """
    table = PairTable(words)
    learner = Learner(names, count, guarded=guarded, apart=apart, longest=longest, fits=fits)
    for frequency, letters in table.best_first(min_frequency):
        if learner.is_full_for(letters):
            break
        new = learner.take(letters, frequency)
        if new is not None:
            table.merge(letters, new)
    return learner.continuation()


class Learner:
    """What merges have made so far, and which are refused; arguments of :func:`continue_merges`."""

    def __init__(
        self,
        names: Sequence[str],
        count: int,
        *,
        guarded: Container[tuple[int, int]] = (),
        apart: Container[int] = (),
        longest: int | None = None,
        fits: Callable[[str], bool] | None = None,
    ) -> None:
        self._count, self._guarded, self._apart, self._longest = count, guarded, apart, longest
        self._fits = fits
        self._pieces = list(names)
        self._ids = {piece: index for index, piece in enumerate(names)}
        self._found: list[str] = []
        self._counts: list[int] = []
        self._merges: list[Merge] = []
        self._refused = 0

    def is_full_for(self, letters: str) -> bool:
        """Whether this pair would be merged, and makes one piece more than are wanted."""
        pair = _pair_of(letters)
        whole = self._pieces[pair[0]] + self._pieces[pair[1]]
        enough = len(self._found) == self._count and whole not in self._ids
        return enough and pair not in self._guarded and not self._is_barred(pair, whole)

    def take(self, letters: str, frequency: int) -> str | None:
        """Merge a pair; the letter of what it makes, or none where the pair stays apart."""
        pair = _pair_of(letters)
        left, right = self._pieces[pair[0]], self._pieces[pair[1]]
        whole = left + right
        if pair in self._guarded:
            self._refused += 1
            return None
        if self._is_barred(pair, whole):
            return None
        if whole not in self._ids:
            self._ids[whole] = len(self._pieces)
            self._pieces.append(whole)
            self._found.append(whole)
            self._counts.append(frequency)
        self._merges.append((left, right))
        return chr(FIRST_LETTER + self._ids[whole])

    def continuation(self) -> Continuation:
        """What was learnt."""
        return Continuation(self._found, self._merges, self._counts, self._refused)

    def _is_barred(self, pair: tuple[int, int], whole: str) -> bool:
        if pair[0] in self._apart or pair[1] in self._apart:
            return True
        if self._longest and len(whole) > self._longest:
            return True
        return self._fits is not None and not self._fits(whole)


def _pair_of(letters: str) -> tuple[int, int]:
    return ord(letters[0]) - FIRST_LETTER, ord(letters[1]) - FIRST_LETTER


class PairTable:
    """Words as strings of one letter per symbol, with the counts of their pairs."""

    def __init__(self, words: TokenWords) -> None:
        kept = [(word, weight) for word, weight in words.words.items() if len(word) > 1]
        self._words = [word for word, _ in kept]
        self._weights = [weight for _, weight in kept]
        self.merged = 0
        """Tokens that the text has lost by merging so far."""
        pairs = placed_pairs(self._words, self._weights)
        self._counts: dict[str, int] = dict(zip(pairs.letters, pairs.counts.tolist(), strict=True))
        # Where each pair stood at first is a slice of one array; what merging adds is a list.
        self._at = pairs.places
        bounds = pairs.bounds.tolist()
        self._first = dict(zip(pairs.letters, pairwise(bounds), strict=True))
        self._later: dict[str, list[int]] = defaultdict(list)
        self._heap = [(-count, pair) for pair, count in self._counts.items()]
        heapq.heapify(self._heap)

    def best_first(self, min_frequency: int) -> Iterator[tuple[int, str]]:
        """The most frequent pair of what the words have become; each pair comes once."""
        seen: set[str] = set()
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

    def merge(self, pair: str, new: str) -> None:
        """Write ``new`` wherever ``pair`` stands."""
        words, weights, counts, later = self._words, self._weights, self._counts, self._later
        first, last = self._first.get(pair, (0, 0))
        grown: set[str] = set()
        for place in [*self._at[first:last].tolist(), *later.pop(pair, ())]:
            word = words[place]
            at = word.find(pair)
            if at < 0:
                continue
            merged = words[place] = word.replace(pair, new)
            weight = weights[place]
            self.merged += weight * (len(word) - len(merged))
            if len(merged) < len(word) - 1:
                self._recount(place, word, new)
                grown.update(a + b for a, b in pairwise(merged) if new in (a, b))
                continue
            # One occurrence: only the pairs with its two neighbours change.
            if at:
                before = word[at - 1]
                counts[before + pair[0]] -= weight
                fresh = before + new
                counts[fresh] = counts.get(fresh, 0) + weight
                later[fresh].append(place)
                grown.add(fresh)
            if at + 1 < len(merged):
                after = merged[at + 1]
                counts[pair[1] + after] -= weight
                fresh = new + after
                counts[fresh] = counts.get(fresh, 0) + weight
                later[fresh].append(place)
                grown.add(fresh)
        for fresh in grown:
            heapq.heappush(self._heap, (-counts[fresh], fresh))
        counts.pop(pair, None)

    def _recount(self, place: int, before: str, new: str) -> None:
        """Count the pairs of a word anew, in which several places changed."""
        counts, weight, word = self._counts, self._weights[place], self._words[place]
        for a, b in pairwise(before):
            counts[a + b] -= weight
        for a, b in pairwise(word):
            counts[a + b] = counts.get(a + b, 0) + weight
            if new in (a, b):
                self._later[a + b].append(place)
