"""IBM Model 1 (Brown et al. 1993), vectorised.

What Trans-Tokenization's call of its aligner amounts to: uniform alignment prior, EM for maximum
likelihood, NULL, six updates, p(target | source). The table is that program's, to printed
precision, for the same words; deterministic, as nothing runs in parallel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from franken.alignment.base import Alignment, Direction, Symmetry
from franken.config.checks import at_least, in_range
from franken.declare import option
from franken.lazy import later

with later():
    import numpy as np

    from franken.alignment.common import link_index
    from franken.alignment.common.bitext import Bitext, read_bitext
    from franken.alignment.common.link_index import Chunk, LinkIndex, distinct_sorted, index_links
    from franken.alignment.common.links import Links, as_links, count_links
    from franken.alignment.common.symmetrise import symmetrise
    from franken.alignment.common.table import WordTable
    from franken.data.source import Pair

_PRUNE_AFTER = 2


@option
class Ibm1Alignment(Alignment):
    """IBM Model 1 on the parallel text, in the tree; deterministic, no dependency."""

    em_updates: int = 6
    """EM updates; the reference's ``-I 7`` is six and a Viterbi pass."""
    null: bool = True
    """Whether target words may also come from NULL."""
    tension: float = 0.0
    """Preference for links near the diagonal (fast_align begins with 4); 0 is Model 1, which cannot
    tell words apart that stand in nearly every sentence, such as an article and the full stop."""
    direction: Direction = Direction.s2t
    """Whose expected counts (and, without ``symmetrise``, links) the table has."""
    symmetrise: Symmetry = Symmetry.none
    """For the links: with another value than ``none`` both directions are trained."""
    prune: float = 0.0
    """Pairs less probable than this after the second update leave the model (they stay where they
    are a word's best); 0 keeps all. Saves time and memory on large text."""
    max_pairs: int | None = None
    """Sentence pairs per language at most, from the head; ``null``: all."""
    min_expected: float = 0.01
    """Word pairs with a smaller expected count and no link are not stored. Far below any use of
    the counts; all the pairs that ever share a sentence would fill gigabytes."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("em_updates", self.em_updates, 1)
        yield from in_range("prune", self.prune, 0.0, 1.0)
        yield from at_least("max_pairs", self.max_pairs, 1)
        if not 0.0 <= self.tension < math.inf:
            yield "tension", f"must be a finite number of at least 0, got {self.tension}"
        yield from at_least("min_expected", self.min_expected, 0.0)

    def align(self, pairs: Iterable[Pair], language: str) -> WordTable:
        """Word-pair counts of one language; links are the Viterbi links of the trained model."""
        bitext = read_bitext(pairs, max_pairs=self.max_pairs)
        return align_bitext(bitext, self)

    def maximise(self, counts: np.ndarray, sources: np.ndarray) -> np.ndarray:
        """The M step: ``(P,)`` p(target | source) from expected counts of pairs.

        Args:
            counts: ``(P,)``.
            sources: ``(P,)`` source number of each pair.
        """
        totals = np.bincount(sources, counts)
        shares: np.ndarray = counts / np.maximum(totals, np.finfo(float).tiny)[sources]
        return shares


@dataclass(frozen=True)
class Ibm1Model:
    """Expected counts and probabilities of every pair of :class:`LinkIndex`, and the links."""

    index: LinkIndex
    counts: np.ndarray
    """``(P,)`` expected counts of the last E step; they sum to the number of target words."""
    probability: np.ndarray
    """``(P,)`` p(target | source), from the last M step."""
    log_likelihood: list[float]
    """Of the target text under the model before each update, in nats."""


def align_bitext(
    bitext: Bitext, config: Ibm1Alignment, *, chunk_links: int | None = None
) -> WordTable:
    """:func:`align` for words that are numbered already.

    With ``direction=t2s`` the model is p(source | target), and the table's probabilities are its
    expected counts normalised over the source word's pairs.
    """
    backward = config.direction is Direction.t2s
    one = train(bitext.swapped() if backward else bitext, config, chunk_links=chunk_links)
    links = _links(one, backward)
    keys, expected, probability = _expected(one, bitext, backward, config.min_expected)
    notes = {
        "aligner": "ibm1",
        "sentence_pairs": len(bitext),
        "candidate_pairs": len(one.index.keys),
        "null_share": _null_share(one),
        "log_likelihood": one.log_likelihood,
    }
    del one
    if config.symmetrise is not Symmetry.none:
        other = train(bitext if backward else bitext.swapped(), config, chunk_links=chunk_links)
        both = (_links(other, not backward), links) if backward else (links, _links(other, True))
        links = symmetrise(bitext, *both, config.symmetrise)
    linked, counts = count_links(bitext, links)
    return _table(bitext, keys, expected, probability, linked, counts, notes)


def train(bitext: Bitext, config: Ibm1Alignment, *, chunk_links: int | None = None) -> Ibm1Model:
    """EM for p(target | source) of a bitext.

    Each update gives every target occurrence one unit of count, shared over the source words of
    its sentence (and NULL) in proportion to their probabilities.
    """
    index = index_links(
        bitext,
        null=config.null,
        tension=config.tension,
        chunk_links=chunk_links or link_index.CHUNK_LINKS,
    )
    sources = index.sources
    prior = 0.0 if config.tension else _log_prior(bitext, config.null)
    probability = np.full(len(index.keys), 1.0 / len(bitext.target.words))
    likelihoods = []
    for update in range(config.em_updates):
        if config.prune and update == _PRUNE_AFTER:
            index = _pruned(index, probability, config.prune)
        counts, likelihood = _expect(index, probability)
        likelihoods.append(likelihood + prior)
        probability = config.maximise(counts, sources)
    return Ibm1Model(index, counts, probability, likelihoods)


def viterbi(model: Ibm1Model) -> Links:
    """The best source word of every target occurrence; none where NULL is best, or as good."""
    sources, targets = [], []
    for chunk in model.index.chunks:
        weights = chunk.weights(model.probability)
        starts = chunk.starts
        best = np.maximum.reduceat(weights, starts)
        hits = np.flatnonzero(weights == np.repeat(best, chunk.widths))
        owners = np.searchsorted(starts, hits, side="right") - 1
        first = hits[np.r_[True, owners[1:] != owners[:-1]]]  # ties: the earliest place
        places = first - starts if chunk.places is None else chunk.places[first].astype(np.int64)
        linked = places >= model.index.null
        sources.append((chunk.first_sources + places - model.index.null)[linked])
        targets.append((chunk.first_target + np.arange(len(places)))[linked])
    return as_links(np.concatenate(sources), np.concatenate(targets))


def _expect(index: LinkIndex, probability: np.ndarray) -> tuple[np.ndarray, float]:
    """The E step: expected counts, and the log likelihood without the alignment prior.

    A pair's count is its probability times the sum of ``prior / sum of the occurrence's weights``
    over its links: two sparse products per chunk, without an array of the links' own shares.
    """
    counts, likelihood = np.zeros(len(index.keys)), 0.0
    ones = np.ones(max(len(chunk.links) for chunk in index.chunks))
    for chunk in index.chunks:
        pairs = chunk.of_pairs(probability)
        links = chunk.matrix(len(pairs), ones)
        sums = links @ pairs
        pairs *= links.T @ (1.0 / sums)
        chunk.add_to(counts, pairs)
        likelihood += float(np.log(sums).sum())
    return counts, likelihood


def _log_prior(bitext: Bitext, null: bool) -> float:
    return -float((np.log(bitext.source.lengths + null) * bitext.target.lengths).sum())


def _pruned(index: LinkIndex, probability: np.ndarray, floor: float) -> LinkIndex:
    """The index without the links of improbable pairs; each target occurrence keeps its best."""
    return LinkIndex(
        index.keys,
        [_pruned_chunk(chunk, probability, floor) for chunk in index.chunks],
        index.target_words,
        index.null,
    )


def _pruned_chunk(chunk: Chunk, probability: np.ndarray, floor: float) -> Chunk:
    weights = chunk.weights(probability)
    starts = chunk.starts
    best = np.repeat(np.maximum.reduceat(weights, starts), chunk.widths)
    kept = (weights >= floor) | (weights == best)
    places = np.arange(len(weights)) - np.repeat(starts, chunk.widths)
    return replace(
        chunk,
        links=chunk.links[kept],
        widths=np.add.reduceat(kept.astype(np.int64), starts),
        places=places[kept].astype(np.int32),
        prior=None if chunk.prior is None else chunk.prior[kept],
    )


def _links(model: Ibm1Model, backward: bool) -> Links:
    links = viterbi(model)
    return as_links(links[:, 1], links[:, 0]) if backward else links


def _expected(
    model: Ibm1Model, bitext: Bitext, backward: bool, floor: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Ascending keys (source * target words + target), counts and probabilities.

    Pairs of NULL and pairs with counts below the floor are left out.
    """
    index = model.index
    sources, targets = np.divmod(index.keys, index.target_words)
    kept = (sources >= index.null) & (model.counts >= floor)
    sources, targets = sources[kept] - index.null, targets[kept]
    if backward:
        sources, targets = targets, sources
    keys = sources * len(bitext.target.words) + targets
    order = np.argsort(keys)
    probability = None if backward else model.probability[kept][order]
    return keys[order], model.counts[kept][order], probability


def _table(
    bitext: Bitext, keys: np.ndarray, expected: np.ndarray, probability: np.ndarray | None,
    linked: np.ndarray, counts: np.ndarray, notes: dict[str, object],
) -> WordTable:  # fmt: skip
    """All pairs with an expected count or a link."""
    width = len(bitext.target.words)
    link_keys = linked[:, 0].astype(np.int64) * width + linked[:, 1]
    union = distinct_sorted(np.concatenate([keys, link_keys]))
    columns = [_spread(union, keys, expected), _spread(union, link_keys, counts)]
    if probability is None:
        totals = np.bincount(union // width, columns[0])
        shares = columns[0] / np.maximum(totals, np.finfo(float).tiny)[union // width]
    else:
        shares = _spread(union, keys, probability)
    return WordTable.of(
        bitext.source.words,
        bitext.target.words,
        np.stack([union // width, union % width], axis=1),
        columns[0],
        shares,
        columns[1],
        bitext.source.spaced,
        bitext.target.spaced,
        notes,
    )


def _spread(union: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    column = np.zeros(len(union))
    column[np.searchsorted(union, keys)] = values
    return column


def _null_share(model: Ibm1Model) -> float:
    if not model.index.null:
        return 0.0
    return float(model.counts[model.index.sources == 0].sum() / model.counts.sum())
