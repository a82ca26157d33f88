"""GloVe (Pennington et al. 2014) on sentences of words or of pieces of the data's text.

``J = sum f(X_ij) (w_i . c_j + b_i + d_j - log X_ij)^2`` over the pairs that occur, ``X_ij`` the
sum of ``1 / distance`` inside the window, ``f(x) = min(1, (x / x_max)^0.75)``; AdaGrad from
accumulators of 1; a word's vector is ``w + c``. Departure from the C release, which takes pairs one
by one: AdaGrad steps along the sum of a block's gradients, each clipped as there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

from franken.config.checks import at_least
from franken.declare import option
from franken.errors import DataError
from franken.lazy import later
from franken.word_vectors.base import TextVectors

with later():
    import numpy as np
    import torch
    from torch import Tensor

    from franken.word_vectors.common.cooccurrence import cooccurrences
    from franken.word_vectors.common.space import VectorSpace

_BLOCK = 4096
"""Pairs whose gradients are taken together."""
_CLIP = 100.0
_POWER = 0.75


@option
class GloveVectors(TextVectors):
    """GloVe vectors trained on the monolingual text of the data; TokAlign's vectors of pieces.

    TokAlign's settings are 300 dimensions, a window of 15, 15 passes, min_count 5 and x_max 10, on
    a billion tokens; defaults suit a few megabytes.
    """

    dim: int = 100
    """Dimensions."""
    window: int = 15
    """Furthest distance of two words that are seen together."""
    epochs: int = 15
    """Passes over the pairs."""
    min_count: int = 2
    """Rarer words get no vector."""
    x_max: float = 10.0
    """Pairs seen so often, or more, weigh 1."""
    lr: float = 0.05
    """Step size of AdaGrad."""
    max_lines: int | None = None
    """Lines per language at most."""

    def faults(self) -> Iterator[tuple[str, str]]:
        for key in ("dim", "window", "epochs", "min_count"):
            yield from at_least(key, getattr(self, key), 1)
        yield from at_least("max_lines", self.max_lines, 1)
        for key in ("x_max", "lr"):
            if not getattr(self, key) > 0:
                yield key, f"must be above 0, got {getattr(self, key)}"

    def space_of(self, sentences: Sequence[Sequence[str]], seed: int, *, what: str) -> VectorSpace:
        return glove_space(sentences, self, seed, what=what)


def glove_space(
    sentences: Sequence[Sequence[str]], config: GloveVectors, seed: int, *, what: str
) -> VectorSpace:
    """Train vectors; words by falling frequency.

    Args:
        sentences: of words.
        config: see the fields of :class:`GloveVectors`.
        seed: of initial vectors and of the order of pairs.
        what: names the text in errors.

    Raises:
        DataError: where no two words that occur ``min_count`` times stand near each other.
    """
    counted = Counter(chain.from_iterable(sentences))
    words = sorted(
        (word for word, count in counted.items() if count >= config.min_count),
        key=lambda word: (-counted[word], word),
    )
    number = {word: index for index, word in enumerate(words)}
    pairs = cooccurrences(
        ([number.get(word, -1) for word in sentence] for sentence in sentences),
        len(words),
        config.window,
    )
    if not len(pairs[0]):
        raise DataError(
            f"word vectors: no two words of the {what} that occur {config.min_count} times stand "
            f"within {config.window} of each other; give more text, or lower "
            "word_vectors.min_count"
        )
    vectors = fit_glove(*pairs, len(words), config, seed)
    return VectorSpace(words, vectors, torch.tensor([counted[word] for word in words]))


def fit_glove(
    first: np.ndarray,
    second: np.ndarray,
    counts: np.ndarray,
    words: int,
    config: GloveVectors,
    seed: int,
) -> Tensor:
    """``(words, dim)`` float32 vectors from pairs and their counts, which are above 0."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    width = config.dim + 1  # the last column is the bias
    sides = (torch.rand(2, words, width, generator=generator) - 0.5) / width
    sums = torch.ones(2, words, width)
    rows = torch.stack([torch.from_numpy(first), torch.from_numpy(second)])
    logs = torch.from_numpy(np.log(counts)).float()
    shares = torch.from_numpy(np.minimum(1.0, (counts / config.x_max) ** _POWER)).float()
    for _ in range(config.epochs):
        order = torch.randperm(len(logs), generator=generator)
        for block in order.split(_BLOCK):
            places = rows.index_select(1, block)
            # index_select copies whole rows; indexing takes four times as long
            seen = [side.index_select(0, ids) for side, ids in zip(sides, places, strict=True)]
            pulls = shares[block] * _errors(seen, logs[block])
            _descend(sides, sums, places, seen, pulls, config.lr)
    vectors: Tensor = (sides[0, :, :-1] + sides[1, :, :-1]).contiguous()
    return vectors


def _errors(seen: Sequence[Tensor], logs: Tensor) -> Tensor:
    """``(n,)`` ``w . c + b + d - log X`` from the ``(n, D + 1)`` rows of both sides."""
    left, right = seen
    return (left[:, :-1] * right[:, :-1]).sum(1) + left[:, -1] + right[:, -1] - logs


def _descend(
    sides: Tensor, sums: Tensor, places: Tensor, seen: Sequence[Tensor], pulls: Tensor, lr: float
) -> None:
    """One AdaGrad step of a block, ``pulls = f(X) * error``; ``seen`` is used up."""
    for side in range(2):
        slopes = seen[1 - side]
        slopes[:, -1] = 1.0  # the slope of the bias
        slopes.mul_(pulls[:, None]).clamp_(-_CLIP, _CLIP)
        rows, owner = places[side].unique(return_inverse=True)
        slopes = torch.zeros(len(rows), slopes.shape[1]).index_add_(0, owner, slopes)
        before = sums[side].index_select(0, rows)
        moved = sides[side].index_select(0, rows) - lr * slopes / before.sqrt()
        sides[side].index_copy_(0, rows, moved)
        sums[side].index_copy_(0, rows, before + slopes.square())
