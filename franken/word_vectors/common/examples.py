"""Text as examples of word prediction, in batches of one size."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

_CHUNK = 1 << 14
"""Kept words that are made to batches at once."""


@dataclass
class Lists:
    """Lists of numbers, one behind the other."""

    flat: np.ndarray
    """``(all,)`` int64."""
    ends: np.ndarray
    """``(lists + 1,)`` int64: list ``i`` is ``flat[ends[i]:ends[i + 1]]``."""

    def take(self, chosen: np.ndarray) -> "Lists":
        """Some of the lists, in the order of ``chosen``; -1 is an empty one."""
        lengths = np.where(chosen < 0, 0, np.diff(self.ends, append=0)[chosen])
        ends = np.concatenate([[0], lengths.cumsum()])
        places = np.repeat(self.ends[:-1][chosen] - ends[:-1], lengths)
        places += np.arange(ends[-1])
        return Lists(self.flat[places], ends)

    def part(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """``flat`` and ``ends`` of the lists from ``first`` to before ``last``."""
        begin, end = self.ends[first], self.ends[last]
        return self.flat[begin:end], self.ends[first : last + 1] - begin


@dataclass
class Batches:
    """``n`` batches of ``b`` examples each; the last examples of all may be empty ones.

    A batch reads the words at some places of the text, from the first to the last that one of its
    examples reads. Places and examples are numbered from 0 in each batch.
    """

    words: np.ndarray
    """``(places of all batches,)`` int64 words."""
    ends: np.ndarray
    """``(n + 1,)`` int64: places of batch ``i`` are ``words[ends[i]:ends[i + 1]]``."""
    inputs: Lists
    """For each of the ``n * b`` examples the places that it reads; none for an empty one."""
    readers: Lists
    """For each place the examples that read it."""
    targets: np.ndarray
    """``(n, b)`` int64 words to be predicted."""
    shares: np.ndarray
    """``(n,)`` float64 share of the text that lies before the batch."""


@dataclass
class Corpus:
    """Sentences as numbers of known words."""

    words: np.ndarray
    """``(all,)`` int64, one sentence behind the other."""
    sentences: np.ndarray
    """``(all,)`` int64 the sentence that each stands in, ascending."""

    def batches(
        self, keep: np.ndarray, window: int, size: int, *, skipgram: bool, draw: np.random.Generator
    ) -> Iterator[Batches]:
        """One pass over the text: words are thinned and windows drawn as fastText does.

        Args:
            keep: probability that a word is kept, by its number.
            window: words to either side at most; each width is drawn from 1 to this.
            size: ``b``.
            skipgram: an example predicts a neighbour from the word; else the word from all
                neighbours in the window.
            draw: where numbers come from.
        """
        kept = np.flatnonzero(draw.random(len(self.words)) < keep[self.words])
        for start in range(0, len(kept), _CHUNK):
            chunk = kept[start : start + _CHUNK]
            inside, others = _windows(self.sentences[chunk], window, draw)
            sizes, neighbours = inside.sum(1), others[inside]
            if skipgram:
                standing = np.repeat(np.arange(len(chunk)), sizes)
                inputs, targets = Lists(standing, np.arange(len(standing) + 1)), neighbours
            else:
                standing = targets = np.flatnonzero(sizes)
                inputs = Lists(neighbours, np.concatenate([[0], sizes[standing].cumsum()]))
            if len(standing):
                yield _batched(
                    self.words[chunk], inputs, self.words[chunk][targets], standing,
                    chunk / len(self.words), 0 if skipgram else window, size,
                )  # fmt: skip


def _windows(
    sentences: np.ndarray, window: int, draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """``(n, 2 window)``: which neighbours of each place lie in its window, and their places."""
    place = np.arange(len(sentences))
    widths = draw.integers(1, window + 1, len(place))
    steps = np.concatenate([np.arange(-window, 0), np.arange(1, window + 1)])
    ends = np.concatenate([[0], np.flatnonzero(np.diff(sentences)) + 1, [len(sentences)]])
    first = np.repeat(ends[:-1], np.diff(ends)).clip(min=place - widths)
    last = np.repeat(ends[1:] - 1, np.diff(ends)).clip(max=place + widths)
    others = place[:, None] + steps
    return (others >= first[:, None]) & (others <= last[:, None]), others


def _batched(
    words: np.ndarray,
    inputs: Lists,
    targets: np.ndarray,
    standing: np.ndarray,
    shares: np.ndarray,
    reach: int,
    size: int,
) -> Batches:
    """Cut a chunk's examples to batches.

    Neighbours read the same words. In a batch they are put apart, so that other noise is drawn for
    them (:class:`~franken.word_vectors.common.sampling.Sampling` draws it by runs of examples).

    Args:
        words: ``(n,)`` of the chunk.
        inputs: places that each of the ``e`` examples reads.
        targets: ``(e,)`` words.
        standing: ``(e,)`` place of each example, ascending.
        shares: ``(n,)`` share of the text before each place.
        reach: furthest distance of an input from its example.
        size: examples in a batch.
    """
    count = -(-len(targets) // size)
    apart = max(1, int(size**0.5))
    order = np.concatenate([np.arange(first, size, apart) for first in range(apart)])
    chosen = (np.arange(count)[:, None] * size + order).ravel()
    chosen[chosen >= len(targets)] = -1
    first = standing[::size]
    last = standing[np.minimum(np.arange(1, count + 1) * size, len(targets)) - 1]
    first, last = (first - reach).clip(0), (last + reach + 1).clip(max=len(words))
    ends = np.concatenate([[0], (last - first).cumsum()])
    read = inputs.take(chosen)
    batch = np.repeat(np.arange(count), read.ends[size::size] - read.ends[:-size:size])
    columns = read.flat - first[batch] + ends[batch]
    shape = count * size, ends[-1]
    turned = csr_array((np.ones(len(columns), np.int8), columns, read.ends), shape).tocsc()
    readers = turned.indices.astype(np.int64) % size
    places = np.arange(ends[-1]) + np.repeat(first - ends[:-1], last - first)
    return Batches(
        words[places], ends, Lists(columns - ends[batch], read.ends),
        Lists(readers, turned.indptr.astype(np.int64)),
        np.where(chosen < 0, 0, targets[chosen]).reshape(count, size), shares[standing[::size]],
    )  # fmt: skip
