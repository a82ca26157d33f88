"""Every candidate link of a bitext, in chunks of sentences over one fixed list of word pairs.

A link joins an occurrence of a target word with an occurrence of a source word (or NULL) of the
same sentence pair. Links lie target word by target word, so that sums over the source words of one
occurrence are sums over a run. A chunk numbers its own distinct pairs, so that what a pass over it
touches fits the processor's cache. Most pairs occur in one chunk only: these lie in a run of the
list, chunk after chunk, and are copied instead of gathered, which halves the time of a pass.
Memory is four bytes per link.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from franken.alignment.common.bitext import Bitext

CHUNK_LINKS = 1 << 19
"""Of 2**14 to 2**20 the fastest in all: passes like small chunks, building likes large ones."""


NULL_PRIOR = 0.08
"""Prior of NULL beside a diagonal, as in fast_align; without one NULL is a word like the others."""

_SAFE_TENSION = 500.0
"""Up to here the nearest word, at most 0.5 away, has a prior far above the smallest float."""


@dataclass(frozen=True)
class Chunk:
    """The links of some sentences."""

    shared: np.ndarray
    """``(q,)`` int32 places in :attr:`LinkIndex.keys` of pairs that other chunks have too."""
    own: slice
    """Where the pairs of this chunk alone lie there."""
    links: np.ndarray
    """``(n,)`` int32 numbers of pairs: places in ``shared``, then in ``own``."""
    widths: np.ndarray
    """``(t,)`` int64 links per target occurrence: source words, and NULL first if there is one."""
    first_target: int
    """Place of the first target occurrence in the flat text."""
    first_sources: np.ndarray
    """``(t,)`` int64 place in the flat text of the first source word of the sentence."""
    places: np.ndarray | None = None
    """``(n,)`` int32 place of each link among those of its target occurrence; ``None``: all are
    there, in order."""
    prior: np.ndarray | None = None
    """``(n,)`` float32 prior of each link; ``None``: uniform, left out as it cancels."""

    @property
    def starts(self) -> np.ndarray:
        """``(t,)`` where the links of each target occurrence begin."""
        ends: np.ndarray = np.cumsum(self.widths)
        ends -= self.widths
        return ends

    def of_pairs(self, values: np.ndarray) -> np.ndarray:
        """``(p,)``: of ``(P,)`` values those of this chunk's pairs, as ``links`` numbers them."""
        return np.concatenate([values[self.shared], values[self.own]])

    def weights(self, values: np.ndarray) -> np.ndarray:
        """``(n,)``: the value of each link's pair, out of ``(P,)`` values, times its prior."""
        found: np.ndarray = self.of_pairs(values)[self.links]
        if self.prior is not None:
            found *= self.prior
        return found

    def matrix(self, pairs: int, ones: np.ndarray) -> csr_array:
        """``(t, p)``: the prior of each link, by target occurrence and pair.

        Args:
            pairs: p.
            ones: at least n of them, shared by all chunks; the prior where it is uniform.
        """
        ends = np.concatenate([[0], np.cumsum(self.widths)]).astype(np.int32)
        data = ones[: len(self.links)] if self.prior is None else self.prior
        return csr_array((data, self.links, ends), shape=(len(self.widths), pairs), copy=False)

    def add_to(self, totals: np.ndarray, values: np.ndarray) -> None:
        """Add values ``(p,)`` of the chunk's pairs to totals ``(P,)``."""
        count = len(self.shared)
        totals[self.shared] += values[:count]
        totals[self.own] += values[count:]


@dataclass(frozen=True)
class LinkIndex:
    """All links."""

    keys: np.ndarray
    """``(P,)`` int64: source number * target words + target number of every pair that occurs. With
    NULL, source numbers are raised by one and NULL is 0. Pairs of several chunks come first."""
    chunks: list[Chunk]
    target_words: int
    null: bool

    @property
    def sources(self) -> np.ndarray:
        """``(P,)`` source number of each pair."""
        numbers: np.ndarray = self.keys // self.target_words
        return numbers


def index_links(
    bitext: Bitext, *, null: bool, tension: float = 0.0, chunk_links: int = CHUNK_LINKS
) -> LinkIndex:
    """Find the distinct word pairs and number every link.

    Args:
        bitext: the sentence pairs.
        null: whether target words may also be linked to NULL.
        tension: how much links near the diagonal are preferred; 0: not at all.
        chunk_links: links per chunk, about; changes results by rounding only.
    """
    parts = [
        _index_chunk(bitext, first, stop, null, tension)
        for first, stop in _chunks(bitext, null, chunk_links)
    ]
    keys, numbers, is_shared, ends = _numbered([pairs for pairs, _ in parts])
    chunks, start = [], 0
    for place, (pairs, chunk) in enumerate(parts):
        stop = start + len(pairs)
        mine, shared = numbers[start:stop], is_shared[start:stop]
        rank = np.cumsum(shared, dtype=np.int32)
        before = np.arange(1, len(pairs) + 1, dtype=np.int32) - rank
        local = np.where(shared, rank, before + rank[-1]) - 1
        chunks.append(
            replace(
                chunk,
                shared=mine[shared],
                own=slice(ends[place], ends[place + 1]),
                links=local[chunk.links],
            )
        )
        start = stop
    return LinkIndex(keys, chunks, len(bitext.target.words), null)


def _numbered(
    lists: list[np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """One numbering of the pairs of all chunks.

    Args:
        lists: the ascending pairs of each chunk.

    Returns:
        Distinct pairs, those of several chunks first, then those of the first chunk alone, and so
        on, each group ascending; one list after the other, the number of each entry (int32) and
        whether other chunks have its pair too; and where the groups end.
    """
    flat = np.concatenate(lists)
    # Two bytes where they do: their stable sort is a radix sort.
    small = np.uint16 if len(lists) < 2**16 - 1 else np.int64
    chunk = np.repeat(np.arange(1, len(lists) + 1, dtype=small), [len(part) for part in lists])
    in_order, order = _in_order(flat)
    first = _first_of_runs(in_order)
    starts = np.flatnonzero(first)
    single = np.diff(np.append(starts, len(flat))) == 1
    owner = np.where(single, chunk[order[starts]], small(0))
    by_owner = np.argsort(owner, kind="stable")
    number = np.empty(len(starts), np.int32)
    number[by_owner] = np.arange(len(starts), dtype=np.int32)
    run = np.cumsum(first, dtype=np.int32) - 1
    numbers, is_shared = np.empty(len(flat), np.int32), np.empty(len(flat), bool)
    numbers[order], is_shared[order] = number[run], ~single[run]
    ends = np.cumsum(np.bincount(owner, minlength=len(lists) + 1)).tolist()
    return in_order[starts][by_owner], numbers, is_shared, ends


def _chunks(bitext: Bitext, null: bool, chunk_links: int) -> Iterator[tuple[int, int]]:
    """First and last sentence (exclusive) of each chunk."""
    sizes = (bitext.source.lengths + null) * bitext.target.lengths
    ends = np.cumsum(sizes)
    first = 0
    while first < len(bitext):
        done = ends[first - 1] if first else 0
        stop = max(first + 1, int(np.searchsorted(ends, done + chunk_links, side="right")))
        yield first, stop
        first = stop


def _index_chunk(
    bitext: Bitext, first: int, stop: int, null: bool, tension: float
) -> tuple[np.ndarray, Chunk]:
    """Ascending keys of the pairs of some sentences, and their chunk, whose links number these."""
    source, target = bitext.source, bitext.target
    counts = target.lengths[first:stop]
    block, block_starts, block_widths = _sources(bitext, first, stop, null)
    widths = np.repeat(block_widths, counts)
    starts = np.cumsum(widths) - widths
    total = int(widths.sum())
    offsets = np.repeat(np.repeat(block_starts, counts) - starts, widths)
    ids = target.ids[target.offsets[first] : target.offsets[stop]].astype(np.int64)
    keys = block[np.arange(total) + offsets] * len(target.words) + np.repeat(ids, widths)
    distinct, links = _distinct(keys)
    return distinct, Chunk(
        shared=distinct,
        own=slice(0, 0),
        links=links,
        widths=widths,
        first_target=int(target.offsets[first]),
        first_sources=np.repeat(source.offsets[first:stop], counts),
        prior=_diagonal(counts, widths, null, tension) if tension else None,
    )


def _diagonal(counts: np.ndarray, widths: np.ndarray, null: bool, tension: float) -> np.ndarray:
    """``(n,)`` float32: prior of each link, highest where both words lie equally far along.

    Dyer et al. 2013, equation 2, at the middles of words; NULL has :data:`NULL_PRIOR`.
    """
    starts = np.cumsum(widths) - widths
    ends = np.cumsum(counts)
    targets = np.arange(len(widths)) - np.repeat(ends - counts, counts)
    along = (targets + 0.5) / np.repeat(counts, counts)
    places = np.arange(int(widths.sum())) - np.repeat(starts, widths) - null
    distance = np.abs((places + 0.5) / np.repeat(widths - null, widths) - np.repeat(along, widths))
    if tension > _SAFE_TENSION:  # else, where no word lies equally far along, all would be 0
        distance[places < 0] = np.inf
        distance -= np.repeat(np.minimum.reduceat(distance, starts), widths)
    prior: np.ndarray = np.exp(-tension * distance)
    prior[places < 0] = 0.0
    prior *= (1.0 - NULL_PRIOR * null) / np.repeat(np.add.reduceat(prior, starts), widths)
    prior[places < 0] = NULL_PRIOR
    return prior.astype(np.float32)


def _sources(
    bitext: Bitext, first: int, stop: int, null: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source numbers of some sentences, NULL before each; where each begins; how long it is."""
    source = bitext.source
    low, high = int(source.offsets[first]), int(source.offsets[stop])
    ids = source.ids[low:high].astype(np.int64)
    widths = source.lengths[first:stop]
    starts = source.offsets[first:stop] - low
    if not null:
        return ids, starts, widths
    return np.insert(ids + 1, starts, 0), starts + np.arange(stop - first), widths + 1


def _distinct(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ascending distinct keys, and the place among them of each key (int32)."""
    in_order, places = _in_order(keys)
    first = _first_of_runs(in_order)
    links = np.empty(len(keys), dtype=np.int32)
    links[places] = np.cumsum(first, dtype=np.int32) - 1
    return in_order[first], links


def _in_order(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ascending keys, and where each was; equal ones in their order.

    One sort of keys with their places in the low bits takes half the time of an argsort, or less.
    """
    bits = max(1, (len(keys) - 1).bit_length())
    if int(keys.max()) >> (62 - bits):
        order = np.argsort(keys, kind="stable")
        return keys[order], order
    packed = (keys << bits) | np.arange(len(keys))
    packed.sort()
    return packed >> bits, packed & ((1 << bits) - 1)


def distinct_sorted(values: np.ndarray) -> np.ndarray:
    """Ascending distinct integers; sorts ``values`` in place.

    ``np.unique`` hashes integers, which takes ten times as long.
    """
    values.sort()
    distinct: np.ndarray = values[_first_of_runs(values)]
    return distinct


def _first_of_runs(values: np.ndarray) -> np.ndarray:
    """``(n,)`` bool: where an ascending list holds another value than before."""
    first = np.empty(len(values), dtype=bool)
    first[:1] = True
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first
