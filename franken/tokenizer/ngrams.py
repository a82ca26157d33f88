"""N-grams of finished tokens that save most of a domain's tokens (AdaptiVocab, arXiv 2503.19693).

Which are taken, how the paper encodes with them, and how near merges come to that: an n-gram is no
merge, so a tokenizer of a plain file needs a chain of merges for it.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import StrEnum

from franken.tokenizer.compose import Merge

_TAKEN = "\0"
"""In the place of tokens that an n-gram has taken."""


class NGramScore(StrEnum):
    """What makes an n-gram worth a token."""

    paper = "paper"
    """Count times length."""
    saving = "saving"
    """Count times length less 1: the tokens that it saves."""


def best_ngrams(
    words: Mapping[str, int],
    count: int,
    *,
    longest: int,
    score: NGramScore = NGramScore.paper,
    min_frequency: int = 2,
    fits: Callable[[str], bool] = lambda ngram: True,
) -> Iterator[tuple[str, int]]:
    """The n-grams of 2 to ``longest`` tokens that score best, one after the other.

    What one takes is gone for the others (the paper lowers overlapping ones by their co-occurrence
    times their length; here they are counted anew in what is left).

    Args:
        words: strings of one letter per token, which no n-gram leaves -> how often they come.
        count: at most so many.
        longest: tokens of the longest n-gram.
        score: by which they are ordered; equal ones by their letters.
        min_frequency: what comes less often is not taken.
        fits: whether an n-gram may be taken at all.

    Yields:
        The n-gram, and how often it stood in what the earlier ones had left.
    """
    texts, weights = list(words), list(words.values())
    counts: Counter[str] = Counter()
    for text, weight in zip(texts, weights, strict=True):
        for ngram in _ngrams(text, 0, len(text), longest):
            counts[ngram] += weight
    counts = Counter({n: c for n, c in counts.items() if c >= min_frequency and fits(n)})
    places: dict[str, list[int]] = defaultdict(list)
    for at, text in enumerate(texts):
        for ngram in {*_ngrams(text, 0, len(text), longest)} & counts.keys():
            places[ngram].append(at)
    less = 0 if score is NGramScore.paper else 1

    def entry(ngram: str) -> tuple[int, str]:
        return -counts[ngram] * (len(ngram) - less), ngram

    heap = [entry(ngram) for ngram in counts]
    heapq.heapify(heap)
    while heap and count:
        worth, ngram = heapq.heappop(heap)
        if counts[ngram] < min_frequency:
            continue
        if entry(ngram)[0] != worth:
            heapq.heappush(heap, entry(ngram))
            continue
        yield ngram, counts[ngram]
        count -= 1
        for at in places[ngram]:
            texts[at] = _without(texts[at], ngram, weights[at], counts, longest)


def _ngrams(text: str, start: int, stop: int, longest: int) -> Iterator[str]:
    """Those that reach into ``text[start:stop]``, the free ones alone."""
    for length in range(2, longest + 1):
        for at in range(max(0, start - length + 1), min(stop, len(text) - length + 1)):
            if _TAKEN not in (ngram := text[at : at + length]):
                yield ngram


def _without(text: str, ngram: str, weight: int, counts: Counter[str], longest: int) -> str:
    """The text with its n-grams taken, from the left; those that overlap them count less."""
    at = text.find(ngram)
    while at >= 0:
        end = at + len(ngram)
        for other in _ngrams(text, at, end, longest):
            if other in counts:
                counts[other] -= weight
        text = text[:at] + _TAKEN * len(ngram) + text[end:]
        at = text.find(ngram, end)
    return text


def greedy_length(word: str, chosen: Collection[str], longest: int) -> int:
    """Tokens of a word as the paper encodes it: from the left, the longest n-gram that fits."""
    at = found = 0
    while at < len(word):
        sizes = range(min(longest, len(word) - at), 1, -1)
        at += next((size for size in sizes if word[at : at + size] in chosen), 1)
        found += 1
    return found


def merges_of(
    ngrams: Sequence[str], spell: Callable[[str], str], known: Collection[str], room: int
) -> tuple[list[str], list[Merge]]:
    """Pieces and merges that make n-grams of finished tokens, the longest first.

    An n-gram of three and more grows from a pair that is wanted anyway where it has one at its
    beginning or end, else from its first two tokens, which then need a piece of their own.

    Args:
        ngrams: best first, strings of one letter per token.
        spell: the piece that some letters stand for together.
        known: pieces that are there already; an n-gram of the same letters is one of them.
        room: at most so many new pieces; n-grams whose pieces have no room are left out.

    Returns:
        New pieces, and merges in the order in which they apply.
    """
    wanted, made = set(ngrams), dict[str, None]()
    chains: list[list[Merge]] = []
    for ngram in ngrams:
        chain = _chain(ngram, wanted, spell)
        needed = dict.fromkeys(left + right for left, right in chain)
        if spell(ngram) in known or any(piece in known for piece in needed):
            continue
        if len(made.keys() | needed.keys()) > room:
            continue
        made |= needed
        chains.append(chain)
    chains.sort(key=len, reverse=True)  # stable: among equals the better one applies first
    return list(made), list(dict.fromkeys(merge for chain in chains for merge in chain))


def _chain(ngram: str, wanted: Collection[str], spell: Callable[[str], str]) -> list[Merge]:
    """Merges that make one n-gram, from two tokens on."""
    if len(ngram) > 2 and ngram[:-1] not in wanted and ngram[1:] in wanted:
        return [*_chain(ngram[1:], wanted, spell), (spell(ngram[0]), spell(ngram[1:]))]
    cuts = range(2, len(ngram) + 1)
    return [(spell(ngram[: cut - 1]), spell(ngram[cut - 1])) for cut in cuts]
