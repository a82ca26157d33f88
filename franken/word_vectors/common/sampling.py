"""Training of fastText by negative sampling, in batches of matrix products."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, embedding_bag

from franken.threads import one_thread
from franken.word_vectors.common.examples import Batches, Corpus, Lists

_RUN = 16
"""Examples that share their noise words, which are as many at least."""
_LARGEST = 256
"""Examples in a batch at most."""
_INPUT_STEP, _OUTPUT_STEP = 0.15, 4.0
"""How far examples of a batch may move each other (:meth:`Sampling.batch_size`)."""
_NOISE_POWER = 0.75
_NOISE_TABLE = 1 << 20
_LAST_RATE = 1e-4
_SUM = 0  # the mode of torch.embedding_bag


@dataclass
class Bags:
    """Lists of numbers of rows to be summed."""

    flat: Tensor
    """``(all,)`` int64."""
    ends: Tensor
    """``(lists + 1,)`` int64."""

    def sums(self, rows: Tensor) -> Tensor:
        """``(lists, d)``: the rows of each list, summed; zero for an empty one."""
        return embedding_bag(rows, self.flat, self.ends, False, _SUM, False, None, True)[0]


@dataclass
class Step:
    """One batch of ``b`` examples that read words at ``w`` places."""

    rows: Bags
    """For each place the rows of the input table that its word is the sum of."""
    places: Tensor
    """Place of each of those rows."""
    inputs: Bags
    """For each example the places that it reads."""
    readers: Bags
    """For each place the examples that read it."""
    scale: Tensor
    """``(b, 1)`` 1 over the number of rows that an example reads."""
    targets: Tensor
    """``(b,)`` int64 words."""
    noise: Tensor
    """``(runs, k)`` int64 words, for ``b / runs`` examples each."""
    weights: Tensor
    """``(runs, b / runs, k)`` float32: weight of the noise words in the loss, 0 where one is the
    target, times ``-rate``."""
    rate: Tensor
    """``()`` float32 learning rate."""

    def take(self, table: Tensor, output: Tensor) -> None:
        """Move rows of the input and the output along the negative gradient.

        The loss is ``sum softplus(-h . o_t) + sum weight softplus(h . o_n)``; see
        :class:`Sampling` for what moves input rows.
        """
        words = self.rows.sums(table)
        hidden = self.inputs.sums(words).mul_(self.scale)
        runs, drawn = self.noise.shape
        in_runs = hidden.view(runs, -1, hidden.shape[1])
        right = output.index_select(0, self.targets)
        wrong = output.index_select(0, self.noise.view(-1)).view(runs, drawn, -1)
        missed = (hidden * right).sum(1, keepdim=True).neg_().sigmoid_().mul_(self.rate)
        held = torch.bmm(in_runs, wrong.transpose(1, 2)).sigmoid_().mul_(self.weights)
        moved = right.mul_(missed).add_(torch.bmm(held, wrong).view_as(hidden))
        away = torch.bmm(held.transpose(1, 2), in_runs).view(runs * drawn, -1)
        output.index_add_(0, self.noise.view(-1), away)
        output.index_add_(0, self.targets, hidden.mul_(missed))
        read = self.readers.sums(moved)
        table.index_add_(0, self.rows.flat, read.index_select(0, self.places))


@dataclass
class Sampling:
    """What is trained and how.

    Bojanowski et al. 2017: the hidden vector ``h`` of an example is the mean of the rows that it
    reads, and the loss ``softplus(-h . o_t) + sum softplus(h . o_n)`` over the target ``t`` and
    ``negative`` noise words ``n`` other than it, drawn by ``count ** 0.75``. As there, every row
    that is read moves by the gradient of ``h`` itself, not by its share in the mean.

    Departures, which make matrix products of it (Ji et al. 2016): examples of a batch are computed
    at the same parameters, and runs of 16 share 16 noise words (``negative``, where that is more),
    which together weigh ``negative``.
    """

    corpus: Corpus
    counts: np.ndarray
    """``(words,)`` occurrences."""
    rows: Lists
    """For each word the rows of the input table that it is the sum of: its own, its n-grams'."""
    window: int
    """Words to either side at most."""
    negative: int
    subsample: float
    """Share of the text above which a word is thinned; 0 for never."""
    lr: float
    """Learning rate at the start; it falls to 0."""
    skipgram: bool

    def train(self, table: Tensor, passes: int, seed: int) -> Tensor:
        """Train in place.

        Args:
            table: ``(rows, d)`` float32 input rows.
            passes: over the text.
            seed: of all draws.

        Returns:
            ``(words, d)`` output rows.
        """
        draw = np.random.default_rng(seed)
        output = torch.zeros(len(self.counts), table.shape[1])
        shares = self.counts / self.counts.sum()
        keep = np.ones(len(shares))
        if self.subsample:
            keep = (np.sqrt(self.subsample / shares) + self.subsample / shares).clip(max=1)
        size = self.batch_size(shares * keep)
        run = min(_RUN, size)
        noise = _noise_table(self.counts)
        with one_thread(), torch.inference_mode():
            for number in range(passes):
                for batches in self.corpus.batches(
                    keep, self.window, size, skipgram=self.skipgram, draw=draw
                ):
                    runs = len(batches.targets), size // run, max(run, self.negative)
                    drawn = noise[draw.integers(0, len(noise), runs)]
                    rates = (self.lr * (1 - (number + batches.shares) / passes)).clip(_LAST_RATE)
                    for step in self.steps(batches, drawn, rates):
                        step.take(table, output)
        return output

    def batch_size(self, shares: np.ndarray) -> int:
        """How many examples' updates rarely meet: a power of two.

        Through a row of the output an example moves another's logit by the learning rate, through
        rows of the input by the part of its rows that both read. Where all examples of a batch
        together move each other too far, training overshoots.

        Args:
            shares: ``(words,)`` how often each is read in training, up to a factor.
        """
        shares = shares / shares.sum()
        drawn = self.counts**_NOISE_POWER
        met = (shares + self.negative * drawn / drawn.sum()).max()
        read = np.bincount(self.rows.flat, np.repeat(shares, np.diff(self.rows.ends)))
        shared = (read**2).sum() / read.sum() * (1 if self.skipgram else 1 + self.window)
        most = min(_OUTPUT_STEP / met, _INPUT_STEP / shared) / self.lr
        return int(2 ** np.floor(np.log2(np.clip(most, 1, _LARGEST))))

    def steps(self, batches: Batches, noise: np.ndarray, rates: np.ndarray) -> Iterator[Step]:
        """Batches as tensors.

        Args:
            batches: ``n`` of ``b`` examples each.
            noise: ``(n, runs, k)`` words drawn, ``k`` for each run of ``b / runs`` examples.
            rates: ``(n,)`` learning rates.
        """
        count, size = batches.targets.shape
        rows = self.rows.take(batches.words)
        lengths = np.diff(rows.ends)
        places = np.repeat(_from_zero(batches.ends), lengths)
        per_batch = np.diff(batches.inputs.ends[::size])
        read = lengths[batches.inputs.flat + np.repeat(batches.ends[:-1], per_batch)]
        total = np.concatenate([[0], read.cumsum()])[batches.inputs.ends]
        scales = (1 / np.diff(total).clip(1)).astype(np.float32).reshape(count, size, 1)
        targets = batches.targets.reshape(count, noise.shape[1], -1, 1)
        weights = (-self.negative / noise.shape[2] * rates).astype(np.float32)[:, None, None, None]
        weights = np.where(noise[:, :, None] == targets, np.float32(0), weights)
        scale, target, drawn, weight, rate = map(
            torch.from_numpy, (scales, batches.targets, noise, weights, rates.astype(np.float32))
        )
        for number, (first, last) in enumerate(pairwise(batches.ends.tolist())):
            yield Step(
                _bags(rows, first, last),
                torch.from_numpy(places[rows.ends[first] : rows.ends[last]]),
                _bags(batches.inputs, number * size, (number + 1) * size),
                _bags(batches.readers, first, last),
                scale[number],
                target[number],
                drawn[number],
                weight[number],
                rate[number],
            )


def _from_zero(ends: np.ndarray) -> np.ndarray:
    """Numbers of the members of each list."""
    members: np.ndarray = np.arange(ends[-1]) - np.repeat(ends[:-1], np.diff(ends))
    return members


def _bags(lists: Lists, first: int, last: int) -> Bags:
    return Bags(*map(torch.from_numpy, lists.part(first, last)))


def _noise_table(counts: np.ndarray) -> np.ndarray:
    """Words as often as they are drawn for noise."""
    drawn = counts**_NOISE_POWER
    ends = np.round(drawn.cumsum() / drawn.sum() * _NOISE_TABLE).astype(np.int64)
    return np.repeat(np.arange(len(counts)), np.diff(ends, prepend=0))
