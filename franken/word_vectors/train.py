"""fastText on sentences of words or of pieces."""

from collections.abc import Iterable, Iterator, Sequence

import regex
import torch

from franken.config.word_vectors import Architecture, TrainedVectors
from franken.errors import DataError
from franken.word_vectors.space import VectorSpace

_LONGEST = 1000
"""Words per sentence; gensim drops without a word what lies beyond its 10,000."""
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:['’-][\p{L}\p{M}\p{N}]+)*|[^\s\p{L}\p{M}\p{N}]")


def words_of(line: str) -> list[str]:
    """Words with their combining marks, and punctuation marks one by one, in their own case."""
    found: list[str] = _WORD.findall(line)
    return found


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
    vectors = torch.from_numpy(model.wv.vectors.copy())
    if not buckets:
        return VectorSpace(words, vectors, counts)
    ngrams = torch.from_numpy(model.wv.vectors_ngrams.copy())
    return VectorSpace(words, vectors, counts, ngrams, config.min_n, config.max_n)


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
