"""fastText on sentences of words or of pieces of the data's text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from franken.config.checks import at_least
from franken.declare import option
from franken.errors import DataError
from franken.lazy import later
from franken.word_vectors.base import TextVectors

with later():
    import torch

    from franken.word_vectors.common.space import VectorSpace

_LONGEST = 1000
"""Words per sentence; gensim drops without a word what lies beyond its 10,000."""


class Architecture(StrEnum):
    """What predicts what in training."""

    cbow = "cbow"
    """The word from the sum of its neighbours."""
    skipgram = "skipgram"
    """Each neighbour from the word."""


@option
class TrainedVectors(TextVectors):
    """fastText vectors trained on the monolingual text of the data.

    Defaults suit a few thousand sentences: more passes and rarer words than the papers, whose
    values (FOCUS: CBOW, 100 dimensions, 10 negatives, 3 epochs, min_count 10, the rest as fastText)
    are ``word_vectors=trained_paper``. UniBridge: 300 dimensions, min_count 1. WECHSEL: 20 epochs,
    min_n = max_n = 5.
    """

    dim: int = 100
    """Dimensions."""
    architecture: Architecture = Architecture.cbow
    epochs: int = 10
    """Passes over the text, where ``word_budget`` allows so many."""
    word_budget: int | None = 10_000_000
    """Words read in all passes together: text longer than this over ``epochs`` has fewer passes, at
    least one (``null``: always ``epochs``). A million words take three seconds of one thread."""
    window: int = 5
    """Words to either side; each is drawn from 1 to this width."""
    negative: int = 10
    """Noise words per word."""
    min_count: int = 2
    """Rarer words get no vector of their own."""
    min_n: int = 5
    """Shortest character n-gram; ``max_n: 0`` trains whole words only. WECHSEL's 5 alone find more
    translations in a third less time than fastText's 3 to 6 (docs/word_vectors.md)."""
    max_n: int = 5
    """Longest character n-gram."""
    buckets: int = 100_000
    """Values that n-grams are hashed to (fastText 2,000,000); rows are made for those in use."""
    lr: float = 0.05
    """Learning rate at the start; it falls to 0."""
    subsample: float = 1e-3
    """Words more frequent than this share of the text are thinned (fastText 1e-4, for large
    text)."""
    max_lines: int | None = None
    """Lines per language at most."""

    def faults(self) -> Iterator[tuple[str, str]]:
        for key in ("dim", "epochs", "window", "negative", "min_count", "buckets"):
            yield from at_least(key, getattr(self, key), 1)
        yield from at_least("max_lines", self.max_lines, 1)
        yield from at_least("word_budget", self.word_budget, 1)
        if self.max_n and not 1 <= self.min_n <= self.max_n:
            yield "min_n", f"must lie between 1 and max_n={self.max_n}, got {self.min_n}"
        if not self.lr > 0:
            yield "lr", f"must be above 0, got {self.lr}"
        yield from at_least("subsample", self.subsample, 0.0)

    def space_of(self, sentences: Sequence[Sequence[str]], seed: int, *, what: str) -> VectorSpace:
        return train_space(sentences, self, seed, what=what)


def train_space(
    sentences: Iterable[Sequence[str]], config: TrainedVectors, seed: int, *, what: str
) -> VectorSpace:
    """Train vectors; equal sentences, options and seed give equal bytes.

    One thread, as updates of several would race. Words enter by falling frequency.

    Args:
        sentences: iterated once to count, then once for each of the :func:`passes`.
        config: see the fields of :class:`TrainedVectors`.
        seed: of initial vectors and draws.
        what: names the text in errors, e.g. ``monolingual text of sw``.

    Raises:
        DataError: where no word occurs ``min_count`` times.
    """
    from gensim.models.fasttext import FastText

    from franken.word_vectors.common.used_buckets import UsedBuckets

    buckets = config.buckets if config.max_n else 0
    model = FastText(
        vector_size=config.dim,
        sg=int(config.architecture is Architecture.skipgram),
        window=config.window,
        negative=config.negative,
        min_count=config.min_count,
        min_n=config.min_n if buckets else 1,
        max_n=config.max_n if buckets else 0,
        bucket=buckets,
        alpha=config.lr,
        sample=config.subsample,
        workers=1,
        seed=seed % 2**32,
    )
    if buckets:
        model.wv = UsedBuckets(config.dim, config.min_n, config.max_n, buckets)
    cut = _Cut(sentences)
    model.build_vocab(corpus_iterable=cut)
    words = list(model.wv.index_to_key)
    if not words:
        raise DataError(
            f"word vectors: no word of the {what} occurs {config.min_count} times "
            f"({model.corpus_total_words} words in all); give more text, or lower "
            "word_vectors.min_count"
        )
    model.train(
        corpus_iterable=cut,
        total_examples=model.corpus_count,
        total_words=model.corpus_total_words,
        epochs=passes(model.corpus_total_words, config),
    )
    counts = torch.tensor([model.wv.get_vecattr(word, "count") for word in words])
    vectors = torch.from_numpy(model.wv.vectors)
    if not buckets:
        return VectorSpace(words, vectors, counts)
    ngrams = torch.from_numpy(model.wv.vectors_ngrams)
    slots = torch.from_numpy(model.wv.slots)
    return VectorSpace(
        words, vectors, counts, ngrams, config.min_n, config.max_n, slots, config.buckets
    )


def passes(words: int, config: TrainedVectors) -> int:
    """How often a text of so many words is read: ``epochs``, fewer where the budget ends first."""
    if config.word_budget is None:
        return config.epochs
    return max(1, min(config.epochs, round(config.word_budget / max(words, 1))))


class _Cut:
    """Sentences of a length that gensim takes whole; can be iterated again."""

    def __init__(self, sentences: Iterable[Sequence[str]]) -> None:
        self._sentences = sentences

    def __iter__(self) -> Iterator[list[str]]:
        for sentence in self._sentences:
            for start in range(0, len(sentence), _LONGEST):
                yield list(sentence[start : start + _LONGEST])
