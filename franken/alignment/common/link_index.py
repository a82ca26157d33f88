"""Every candidate link of a bitext, pair by pair: what an update of word probabilities reads.

A link joins a row, a target word of one sentence, with an occurrence of a source word in the same
sentence pair. Links lie source word by source word and therein row by row, rows target word by
target word, so that those of one word pair are a run, and so are the pairs of one source word:
nothing is sorted (two turns of a sparse matrix bring links there in time that grows with their
number alone), sums over a source word's pairs are sums over a run, and chunks of source words share
no pair. NULL has no links; it is one more weight per row.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csc_array, csr_array

from franken.alignment.common.bitext import Bitext, Side
from franken.alignment.common.sorting import first_of_runs, in_order

CHUNK_LINKS = 1 << 20
"""Of 2**18 to 2**24 the fastest in all, with a third of the memory of the largest."""

_LINKS_PER_ROW = 4
"""A chunk has at least so many links for each row of the text: a pass reads all rows per chunk."""

NULL_PRIOR = 0.08
"""Prior of NULL beside a diagonal, as in fast_align; without one NULL is a word like the others."""


@dataclass(frozen=True)
class Rows:
    """The places that links lead to: words of the target side, by word, then by place in the text.

    Equal words of one sentence share a row, as they have equal links; beside a diagonal each has
    its own.
    """

    words: np.ndarray
    """``(R,)`` int32 target word."""
    sentences: np.ndarray
    """``(R,)`` int32."""
    times: np.ndarray
    """``(R,)`` float64 how many words of the text it stands for."""
    of_text: np.ndarray
    """``(target tokens,)`` int32 row of each word of the flat text."""
    first: np.ndarray
    """``(R,)`` int64 place in the flat text of its first word."""

    def __len__(self) -> int:
        return len(self.words)


@dataclass(frozen=True)
class Chunk:
    """The links of some source words."""

    words: slice
    """Which source words."""
    pairs: slice
    """Where their ``p`` pairs lie in the list of all."""
    ends: np.ndarray
    """``(p + 1,)`` int32: pair ``i`` has the links ``ends[i]:ends[i + 1]``."""
    rows: np.ndarray
    """``(n,)`` int32 row of each link."""
    places: np.ndarray
    """``(n,)`` small integers: place of the source word in its sentence."""
    prior: np.ndarray | None = None
    """``(n,)`` float32, to be multiplied by :attr:`LinkIndex.scale`; ``None``: uniform, left out
    as it cancels."""

    def weights(self, values: np.ndarray) -> np.ndarray:
        """``(n,)``: the value of each link's pair, out of ``(P,)`` values, times its prior."""
        found: np.ndarray = np.repeat(values[self.pairs], np.diff(self.ends))
        if self.prior is not None:
            found *= self.prior
        return found

    def only(self, kept: np.ndarray) -> "Chunk":
        """Of all pairs the links of a mask ``(n,)``."""
        before = np.concatenate([[0], np.cumsum(kept, dtype=np.int32)])
        return replace(
            self,
            ends=before[self.ends].astype(np.int32),
            rows=self.rows[kept],
            places=self.places[kept],
            prior=None if self.prior is None else self.prior[kept],
        )


@dataclass(frozen=True)
class LinkIndex:
    """All links, and the word pairs that have any."""

    rows: Rows
    targets: np.ndarray
    """``(P,)`` int32 target word of each pair; pairs lie source word by source word, and therein
    target word by target word."""
    partners: np.ndarray
    """``(source words,)`` int64 how many pairs each source word has."""
    chunks: list[Chunk]
    first_sources: np.ndarray
    """``(sentences,)`` int64 place in the flat text of each sentence's first source word."""
    scale: np.ndarray
    """``(R,)`` float64 factor on the priors of a row's links."""
    null: np.ndarray
    """``(R,)`` float64 prior of NULL, 0 where it is no choice."""
    diagonal: "Diagonal | None"
    """What makes priors; ``None``: they are uniform."""
    ones: np.ndarray
    """Uniform priors of the chunk with most links, float64; all chunks share them."""

    @property
    def sources(self) -> np.ndarray:
        """``(P,)`` int32 source word of each pair."""
        return np.repeat(np.arange(len(self.partners), dtype=np.int32), self.partners)

    def matrix(self, chunk: Chunk) -> csc_array:
        """``(R, p)``: the prior of each link of a chunk."""
        data = self.ones[: len(chunk.rows)] if chunk.prior is None else chunk.prior
        shape = (len(self.rows), len(chunk.ends) - 1)
        return csc_array((data, chunk.rows, chunk.ends), shape=shape, copy=False)


def index_links(
    bitext: Bitext, *, null: bool, tension: float = 0.0, chunk_links: int | None = None
) -> LinkIndex:
    """Find every link and number the word pairs.

    Args:
        bitext: the sentence pairs.
        null: whether target words may also come from NULL.
        tension: how much links near the diagonal are preferred; 0: not at all.
        chunk_links: links per chunk, about; changes results by rounding only.
    """
    rows = _rows(bitext.target, apart=tension > 0)
    sentences = _places_by_word(bitext.source)
    along = Diagonal(bitext, rows, tension) if tension else None
    most = chunk_links or max(CHUNK_LINKS, _LINKS_PER_ROW * len(rows))
    ends = _ends(sentences, rows)
    # One array of each for all chunks: memory of this size goes back to the system as a whole.
    of_links, places = np.empty(ends[-1], np.int32), np.empty(ends[-1], sentences.dtype)
    chunks, targets, partners, start = [], [], [], 0
    for first, stop in _ranges(ends, most):
        links = sentences[:, first:stop].tocsr()[rows.sentences].tocsc()
        mine = slice(ends[first], ends[stop])
        of_links[mine], places[mine] = links.indices, links.data
        words = rows.words[links.indices]
        is_first = first_of_runs(words)
        is_first[links.indptr[:-1][np.diff(links.indptr) > 0]] = True
        starts = np.flatnonzero(is_first)
        targets.append(words[starts])
        partners.append(np.diff(np.searchsorted(starts, links.indptr)))
        chunks.append(
            Chunk(
                words=slice(first, stop),
                pairs=slice(start, start + len(starts)),
                ends=np.append(starts, len(words)).astype(np.int32),
                rows=of_links[mine],
                places=places[mine],
                prior=along.prior(links.indices, links.data) if along else None,
            )
        )
        start += len(starts)
    count = len(rows)
    return LinkIndex(
        rows=rows,
        targets=np.concatenate(targets),
        partners=np.concatenate(partners),
        chunks=chunks,
        first_sources=bitext.source.offsets[:-1],
        scale=along.scale(chunks, 1.0 - NULL_PRIOR * null) if along else np.ones(count),
        null=np.full(count, (NULL_PRIOR if along else 1.0) * null),
        diagonal=along,
        ones=np.ones(0 if along else max(len(chunk.rows) for chunk in chunks)),
    )


def sums_of_runs(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Sum of each run of values, given the runs' lengths."""
    sums = np.zeros(len(sizes))
    filled = np.flatnonzero(sizes)
    sums[filled] = np.add.reduceat(values, (np.cumsum(sizes) - sizes)[filled])
    return sums


def shares_of_runs(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Each value's share of the sum of its run; 0 in a run of zeros."""
    sums = np.maximum(sums_of_runs(values, sizes), np.finfo(float).tiny)
    shares: np.ndarray = np.repeat(sums, sizes)
    np.divide(values, shares, out=shares)
    return shares


def _rows(side: Side, *, apart: bool) -> Rows:
    """Rows of the target side; ``apart``: also of equal words of a sentence."""
    count = len(side.offsets) - 1
    sentences = np.repeat(np.arange(count), side.lengths)
    keys, order = in_order(side.ids * np.int64(count) + sentences)
    first = np.ones(len(keys), bool) if apart else first_of_runs(keys)
    starts = np.flatnonzero(first)
    of_text = np.empty(len(keys), np.int32)
    of_text[order] = np.cumsum(first, dtype=np.int32) - 1
    return Rows(
        words=(keys[starts] // count).astype(np.int32),
        sentences=(keys[starts] % count).astype(np.int32),
        times=np.diff(np.append(starts, len(keys))).astype(np.float64),
        of_text=of_text,
        first=order[starts],
    )


def _places_by_word(side: Side) -> csc_array:
    """``(sentences, words)``: place in its sentence of every word; a word's places in order."""
    count = len(side.offsets) - 1
    longest = int(side.lengths.max())
    places = np.arange(len(side.ids)) - np.repeat(side.offsets[:-1], side.lengths)
    data = places.astype(np.min_scalar_type(longest))
    shape = (count, len(side.words))
    return csr_array((data, side.ids, side.offsets), shape=shape, copy=False).tocsc()


def _ends(sentences: csc_array, rows: Rows) -> np.ndarray:
    """``(source words + 1,)``: where the links of each source word end, 0 before the first."""
    widths = np.bincount(rows.sentences, minlength=sentences.shape[0])
    before = np.concatenate([[0], np.cumsum(widths[sentences.indices])])
    ends: np.ndarray = before[sentences.indptr]
    return ends


def _ranges(ends: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """First and last source word (exclusive) of each chunk."""
    first = 0
    while first < len(ends) - 1:
        stop = max(first + 1, int(np.searchsorted(ends, ends[first] + most, side="right")) - 1)
        yield first, stop
        first = stop


class Diagonal:
    """Priors of links, highest where both words lie equally far along.

    Dyer et al. 2013, equation 2, at the middles of words; NULL has :data:`NULL_PRIOR`.
    """

    def __init__(self, bitext: Bitext, rows: Rows, tension: float) -> None:
        target = bitext.target
        places = rows.first - target.offsets[rows.sentences]
        self._along = (places + 0.5) / target.lengths[rows.sentences]
        self._widths = bitext.source.lengths[rows.sentences]
        # Of the nearest word, so that however steep, not all are 0.
        nearest = np.floor(self._along * self._widths) + 0.5
        self._nearest = np.abs(nearest / self._widths - self._along)
        self._tension = tension

    def prior(self, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        """``(n,)`` float32 prior of links, before :meth:`scale`."""
        distance = (places + 0.5) / self._widths[rows]
        distance -= self._along[rows]
        np.abs(distance, out=distance)
        distance -= self._nearest[rows]
        distance *= -self._tension
        prior: np.ndarray = np.exp(distance, out=distance).astype(np.float32)
        return prior

    def scale(self, chunks: list[Chunk], left: float) -> np.ndarray:
        """``(R,)``: what makes the priors of a row sum to ``left``."""
        sums = np.zeros(len(self._along))
        for chunk in chunks:
            sums += np.bincount(chunk.rows, chunk.prior, len(sums))
        scale: np.ndarray = left / sums
        return scale
