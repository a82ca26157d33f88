"""Small bitexts, and Model 1 written out in dictionaries."""

import math
import random
from collections import defaultdict

from scipy.special import digamma

from franken.alignment import WordTable
from franken.alignment.common.bitext import Bitext, read_bitext

BOOK = [("das haus", "the house"), ("das buch", "the book"), ("ein buch", "a book")]


def random_pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Word-by-word translations with synonyms, swaps, drops, and repeated words."""
    rng = random.Random(seed)
    pairs = []
    for _ in range(count):
        words = [min(int(rng.expovariate(0.15)), 40) for _ in range(rng.randint(1, 9))]
        target = [f"t{_name(word)}{'x' if rng.random() < 0.2 else ''}" for word in words]
        if len(target) > 1 and rng.random() < 0.3:
            place = rng.randrange(len(target) - 1)
            target[place : place + 2] = reversed(target[place : place + 2])
        if len(target) > 2 and rng.random() < 0.2:
            target.pop(rng.randrange(len(target)))
        pairs.append((" ".join(f"s{_name(word)}" for word in words), " ".join(target)))
    return pairs


def _name(number: int) -> str:
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def bitext(pairs: list[tuple[str, str]]) -> Bitext:
    return read_bitext(pairs)


def slow_model(
    pairs: list[tuple[str, str]],
    updates: int,
    *,
    null: bool,
    tension: float = 0.0,
    alpha: float = 0.0,
    prune: float = 0.0,
) -> tuple[dict, dict, list[dict[int, int]]]:
    """Counts, probabilities, and the Viterbi source place of each target place, sentence by
    sentence."""
    text = [([*(["NULL"] if null else []), *s.split()], t.split()) for s, t in pairs]
    share: dict = defaultdict(lambda: 1.0)
    dropped: set[tuple[int, int, int]] = set()
    for update in range(updates):
        counts: dict = defaultdict(float)
        for n, (source, target) in enumerate(text):
            for j, t in enumerate(target):
                prior = _prior(len(source), len(target), j, null, tension)
                parts = [share[s, t] * p for s, p in zip(source, prior, strict=True)]
                if prune and update == 2:
                    dropped |= {
                        (n, j, i) for i, part in enumerate(parts) if part < min(prune, max(parts))
                    }
                parts = [0.0 if (n, j, i) in dropped else part for i, part in enumerate(parts)]
                for s, part in zip(source, parts, strict=True):
                    counts[s, t] += part / sum(parts)
        sums: dict = defaultdict(float)
        for (s, _), value in counts.items():
            sums[s] += value
        share = {pair: value / (sums[pair[0]] or 1.0) for pair, value in counts.items()}
        if alpha:
            totals: dict = defaultdict(float)
            for (s, _), value in counts.items():
                totals[s] += value + alpha
            share = {
                (s, t): math.exp(digamma(value + alpha) - digamma(totals[s]))
                for (s, t), value in counts.items()
            }
    links = []
    for n, (source, target) in enumerate(text):
        found = {}
        for j, t in enumerate(target):
            prior = _prior(len(source), len(target), j, null, tension)
            scores = [
                0.0 if (n, j, i) in dropped else share[s, t] * p
                for i, (s, p) in enumerate(zip(source, prior, strict=True))
            ]
            best = scores.index(max(scores))
            if best >= null:
                found[j] = best - null
        links.append(found)
    return dict(counts), share, links


def slow_agreement(
    pairs: list[tuple[str, str]], apart: int, together: int, *, null: bool, tension: float
) -> list[tuple[dict, dict]]:
    """Counts and shares of p(target | source) and of p(source | target), after so many updates of
    each by itself and then of both by the product of what they hold of each link."""
    text = [(s.split(), t.split()) for s, t in pairs]
    shares: list[dict] = [defaultdict(lambda: 1.0), defaultdict(lambda: 1.0)]
    for update in range(apart + together):
        counts: list[dict] = [defaultdict(float), defaultdict(float)]
        for source, target in text:
            one = _posteriors(shares[0], source, target, null, tension)
            two = _posteriors(shares[1], target, source, null, tension)
            for (i, j), share in one.items():
                both = share * two[j, i] if update >= apart and i >= 0 else share
                counts[0]["NULL" if i < 0 else source[i], target[j]] += both
            for (j, i), share in two.items():
                both = share * one[i, j] if update >= apart and j >= 0 else share
                counts[1]["NULL" if j < 0 else target[j], source[i]] += both
        for side, found in enumerate(counts):
            sums: dict = defaultdict(float)
            for (given, _), value in found.items():
                sums[given] += value
            shares[side] = {pair: value / sums[pair[0]] for pair, value in found.items()}
    return [(dict(found), share) for found, share in zip(counts, shares, strict=True)]


def _posteriors(
    share: dict, given: list[str], made: list[str], null: bool, tension: float
) -> dict[tuple[int, int], float]:
    """(place in ``given``, -1 for NULL; place in ``made``) -> probability of the link."""
    found = {}
    words = [*(["NULL"] if null else []), *given]
    for j, word in enumerate(made):
        prior = _prior(len(words), len(made), j, null, tension)
        parts = [share[of, word] * p for of, p in zip(words, prior, strict=True)]
        found |= {(i - null, j): part / sum(parts) for i, part in enumerate(parts)}
    return found


def _prior(width: int, length: int, j: int, null: bool, tension: float) -> list[float]:
    """Of each source place, NULL first if there is one."""
    if not tension:
        return [1.0] * width
    words = width - null
    raw = [math.exp(-tension * abs((i + 0.5) / words - (j + 0.5) / length)) for i in range(words)]
    left = 0.92 if null else 1.0
    return [*([0.08] if null else []), *(left * value / sum(raw) for value in raw)]


def as_dict(table: WordTable, column: str) -> dict[tuple[str, str], float]:
    """Word pair -> value, zeros left out."""
    values = getattr(table, column)
    return {
        (table.source[i], table.target[j]): float(value)
        for (i, j), value in zip(table.pairs.tolist(), values, strict=True)
        if value
    }


def slow_grow_diag_final_and(
    forward: list[tuple[int, int]], backward: list[tuple[int, int]]
) -> set[tuple[int, int]]:
    """The heuristic as Moses has it, for one sentence, in sets."""
    sides = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
    union, grown = set(forward) | set(backward), set(forward) & set(backward)
    sources, targets = {i for i, _ in grown}, {j for _, j in grown}
    waiting = sorted(grown)
    while waiting:
        added = []
        for i, j in waiting:
            for di, dj in sides:
                link = (i + di, j + dj)
                free = link[0] not in sources or link[1] not in targets
                if link in union and link not in grown and free:
                    grown.add(link)
                    sources.add(link[0])
                    targets.add(link[1])
                    added.append(link)
        waiting = added
    for direction in (forward, backward):
        for i, j in sorted(direction):
            if i not in sources and j not in targets:
                grown.add((i, j))
                sources.add(i)
                targets.add(j)
    return grown
