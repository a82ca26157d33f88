"""IBM Model 1 (Brown et al. 1993), vectorised.

What Trans-Tokenization's call of its aligner amounts to: uniform alignment prior, EM for maximum
likelihood, NULL, six updates, p(target | source). The table is that program's, to printed
precision, for the same words; deterministic, as nothing runs in parallel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from franken.alignment.base import Alignment, Direction, Symmetry
from franken.config.checks import at_least, in_range
from franken.declare import option
from franken.lazy import later

with later():
    import numpy as np

    from franken.alignment.common.agreement import Agreement
    from franken.alignment.common.bitext import Bitext, read_bitext
    from franken.alignment.common.link_index import LinkIndex, index_links, shares_of_runs
    from franken.alignment.common.links import Links, as_links, count_links
    from franken.alignment.common.sorting import distinct_sorted, in_order
    from franken.alignment.common.symmetrise import symmetrise
    from franken.alignment.common.table import WordTable
    from franken.data.source import Pair

_PRUNE_AFTER = 2

_LEAST = 1e-100
"""Of a row's weights; in agreement, without NULL, a word may have no link that both believe in."""

Maximise: TypeAlias = "Callable[[np.ndarray, np.ndarray], np.ndarray]"
"""An M step: from counts of pairs, source word by source word, and how many each word has."""


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
    agree_after: int | None = None
    """After so many updates both directions are trained together: what counts is how probable both
    hold a link, which keeps rare words from taking what is left (Liang et al. 2006). Beside a
    diagonal far fewer faults (``fast_align`` with 5), at twice the memory; ``null``: never."""
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
        yield from at_least("agree_after", self.agree_after, 0)
        if self.agree_after is not None and self.agree_after >= self.em_updates:
            least = f"less than em_updates ({self.em_updates})"
            yield "agree_after", f"must be {least}, got {self.agree_after}"
        if self.agree_after is not None and self.prune:
            yield "prune", f"must be 0 with agree_after, which needs all links; got {self.prune}"
        if not 0.0 <= self.tension < math.inf:
            yield "tension", f"must be a finite number of at least 0, got {self.tension}"
        yield from at_least("min_expected", self.min_expected, 0.0)

    def align(self, pairs: Iterable[Pair], language: str) -> WordTable:
        """Word-pair counts of one language; links are the Viterbi links of the trained model."""
        bitext = read_bitext(pairs, max_pairs=self.max_pairs)
        return align_bitext(bitext, self)

    def maximise(self, counts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """The M step: ``(P,)`` p(target | source) from expected counts of pairs.

        Args:
            counts: ``(P,)``, source word by source word.
            sizes: how many of them each source word has.
        """
        return shares_of_runs(counts, sizes)


@dataclass(frozen=True)
class Ibm1Model:
    """Expected counts and probabilities of every pair of :class:`LinkIndex`, and the links."""

    index: LinkIndex
    counts: np.ndarray
    """``(P,)`` expected counts of the last E step; with NULL's they sum to the target words, unless
    the directions agree, where they are sums of products."""
    probability: np.ndarray
    """``(P,)`` p(target | source), from the last M step."""
    null_counts: np.ndarray
    """``(target words,)`` expected counts of NULL."""
    null_probability: np.ndarray
    """``(target words,)`` p(target | NULL)."""
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
    models = models_of(bitext.swapped() if backward else bitext, config, chunk_links)
    one = next(models)
    links = _links(one, backward)
    keys, expected, probability = _expected(one, bitext, backward, config.min_expected)
    notes = {
        "aligner": "ibm1",
        "sentence_pairs": len(bitext),
        "candidate_pairs": len(one.counts),
        "null_share": _null_share(one),
        "log_likelihood": one.log_likelihood,
    }
    del one
    if config.symmetrise is not Symmetry.none:
        others = _links(next(models), not backward)
        both = (others, links) if backward else (links, others)
        links = symmetrise(bitext, *both, config.symmetrise)
    linked, counts = count_links(bitext, links)
    return _table(bitext, keys, expected, probability, linked, counts, notes)


def models_of(
    bitext: Bitext, config: Ibm1Alignment, chunk_links: int | None = None
) -> Iterator[Ibm1Model]:
    """The model of a bitext, and the other direction's, which is not trained unless asked for."""
    if config.agree_after is not None:
        yield from train_together(bitext, config, chunk_links=chunk_links)
    else:
        yield train(bitext, config, chunk_links=chunk_links)
        yield train(bitext.swapped(), config, chunk_links=chunk_links)


def train(bitext: Bitext, config: Ibm1Alignment, *, chunk_links: int | None = None) -> Ibm1Model:
    """EM for p(target | source) of a bitext.

    Each update gives every target occurrence one unit of count, shared over the source words of
    its sentence (and NULL) in proportion to their probabilities.
    """
    training = _Training(bitext, config, chunk_links)
    for update in range(config.em_updates):
        if config.prune and update == _PRUNE_AFTER:
            training.prune(config.prune)
        training.update(config.maximise)
    return training.model()


def train_together(
    bitext: Bitext, config: Ibm1Alignment, *, chunk_links: int | None = None
) -> list[Ibm1Model]:
    """p(target | source) and p(source | target), in agreement after ``agree_after`` updates.

    Agreed counts are fractions that a sparse prior would wipe out, so their shares are plain.
    """
    both = [_Training(text, config, chunk_links) for text in (bitext, bitext.swapped())]
    apart = config.agree_after or 0
    for training in both:
        for _ in range(apart):
            training.update(config.maximise)
    agreement = Agreement(both[0].index, both[1].index)
    for _ in range(apart, config.em_updates):
        shares = [training.expect() for training in both]
        agreed = agreement.expected(both[0].probability, both[1].probability, *shares)
        both[0].maximise(agreed, shares_of_runs)
        turned = agreement.turned(both[0].counts)
        both[1].maximise((turned[chunk.pairs] for chunk in both[1].index.chunks), shares_of_runs)
    return [training.model() for training in both]


class _Training:
    """The model of one direction while it is trained."""

    def __init__(self, bitext: Bitext, config: Ibm1Alignment, chunk_links: int | None) -> None:
        self.index = index_links(
            bitext, null=config.null, tension=config.tension, chunk_links=chunk_links
        )
        words = len(bitext.target.words)
        self.counts = np.empty(len(self.index.targets))
        self.probability = np.full(len(self.counts), 1.0 / words)
        self._null_counts, self._of_null = np.empty(words), np.full(words, 1.0 / words)
        self._prior = 0.0 if config.tension else _log_prior(bitext, config.null)
        self._likelihoods: list[float] = []

    def update(self, maximise: Maximise) -> None:
        """E and M step of this direction alone, chunk by chunk."""
        shares = self.expect()
        self.maximise(self._expected(shares), maximise)

    def expect(self) -> np.ndarray:
        """The E step of rows: what makes a pair's probability its expected count.

        That count is the sum of ``prior / sum of the row's weights`` over the pair's links, so a
        step is two sparse products per chunk, without an array of the links' own shares.

        Returns:
            ``(R,)`` times a row stands for over its sum of weights.
        """
        index, rows = self.index, self.index.rows
        sums = np.zeros(len(rows))
        for chunk in index.chunks:
            sums += index.matrix(chunk) @ self.probability[chunk.pairs]
        sums *= index.scale
        sums += index.null * self._of_null[rows.words]
        np.maximum(sums, _LEAST, out=sums)
        shares: np.ndarray = rows.times / sums
        of_null = np.bincount(rows.words, shares * index.null, len(self._of_null))
        self._null_counts = self._of_null * of_null
        self._likelihoods.append(float(rows.times @ np.log(sums)) + self._prior)
        shares *= index.scale
        return shares

    def _expected(self, shares: np.ndarray) -> Iterator[np.ndarray]:
        """Expected counts of the pairs of each chunk."""
        for chunk in self.index.chunks:
            counts: np.ndarray = self.index.matrix(chunk).T @ shares
            counts *= self.probability[chunk.pairs]
            yield counts

    def maximise(self, expected: Iterator[np.ndarray], maximise: Maximise) -> None:
        """The M step, from the expected counts of each chunk."""
        for chunk, counts in zip(self.index.chunks, expected, strict=True):
            self.counts[chunk.pairs] = counts
            sizes = self.index.partners[chunk.words]
            self.probability[chunk.pairs] = maximise(counts, sizes)
        self._of_null = maximise(self._null_counts, np.array([len(self._of_null)]))

    def prune(self, floor: float) -> None:
        """Leave the links of improbable pairs; each row keeps its best."""
        index = self.index
        null = index.null * self._of_null[index.rows.words]
        best = _best(index, self.probability)
        best_of_row = np.where(best * index.scale >= null, best, np.inf)
        null_stays = (null >= floor) | (null >= best * index.scale)
        chunks = []
        for chunk in index.chunks:
            weights = chunk.weights(self.probability)
            kept = weights * index.scale[chunk.rows] >= floor
            chunks.append(chunk.only(kept | (weights == best_of_row[chunk.rows])))
        prior = np.where(null_stays, index.null, 0.0)
        self.index = replace(index, chunks=chunks, null=prior)

    def model(self) -> Ibm1Model:
        """What was learnt."""
        return Ibm1Model(
            self.index, self.counts, self.probability, self._null_counts, self._of_null,
            self._likelihoods,
        )  # fmt: skip


def viterbi(model: Ibm1Model) -> Links:
    """The best source word of every target occurrence; none where NULL is best, or as good."""
    index, rows = model.index, model.index.rows
    best = _best(index, model.probability)
    best[best * index.scale <= index.null * model.null_probability[rows.words]] = np.inf
    nowhere = np.iinfo(np.int64).max
    places = np.full(len(rows), nowhere)
    for chunk in index.chunks:
        hits = np.flatnonzero(chunk.weights(model.probability) == best[chunk.rows])
        # Ties: the earliest place.
        np.minimum.at(places, chunk.rows[hits], chunk.places[hits].astype(np.int64))
    found = places[rows.of_text]
    targets = np.flatnonzero(found < nowhere)
    sentences = rows.sentences[rows.of_text[targets]]
    return as_links(index.first_sources[sentences] + found[targets], targets)


def _best(index: LinkIndex, probability: np.ndarray) -> np.ndarray:
    """``(R,)``: the highest weight of each row's links, before :attr:`LinkIndex.scale`."""
    best = np.zeros(len(index.rows))
    for chunk in index.chunks:
        np.maximum.at(best, chunk.rows, chunk.weights(probability))
    return best


def _log_prior(bitext: Bitext, null: bool) -> float:
    return -float((np.log(bitext.source.lengths + null) * bitext.target.lengths).sum())


def _links(model: Ibm1Model, backward: bool) -> Links:
    links = viterbi(model)
    return as_links(links[:, 1], links[:, 0]) if backward else links


def _expected(
    model: Ibm1Model, bitext: Bitext, backward: bool, floor: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Ascending keys (source * target words + target), counts and probabilities.

    Pairs with counts below the floor are left out.
    """
    kept = np.flatnonzero(model.counts >= floor)
    sources = model.index.sources[kept].astype(np.int64)
    targets = model.index.targets[kept].astype(np.int64)
    width = len(bitext.target.words)
    if backward:
        keys, order = in_order(targets * width + sources)
        return keys, model.counts[kept[order]], None
    return sources * width + targets, model.counts[kept], model.probability[kept]


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
    of_null = float(model.null_counts.sum())
    return of_null / (of_null + float(model.counts.sum()))
