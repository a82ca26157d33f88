"""New pieces for an existing vocabulary: shared by ``extension`` and ``prune_extend``."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from franken.config.base_model import TokenizerKind
from franken.tokenizer.compose import Merge
from franken.tokenizer.continued import MIN_FREQUENCY, continue_merges
from franken.tokenizer.language_group import learn_group, training_streams
from franken.tokenizer.learn import (
    CHARACTER_COVERAGE,
    LONGEST_PIECE,
    alphabet_of,
    find_alphabet,
    training_backend,
)
from franken.tokenizer.options import PieceTraining
from franken.tokenizer.pipeline import Pipeline
from franken.tokenizer.sampling import Lines, lines_of, usage_counts
from franken.tokenizer.token_words import TokenWords, WordReader
from franken.tokenizer.types import VocabTexts
from franken.tokenizer.word_counts import Counted, WordCounter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NEW_SHARE = math.log(0.5)
"""Unigram: the result is an even mixture of the base's and the group's distribution."""
WORDS_PER_TOUCH = 1_000_000
"""A merge may touch source text once in so many words; what touches it more often is refused."""
BYTES_PER_CHARACTER = 3
"""Of the scripts that need the longest pieces in byte-level BPE."""


@dataclass(frozen=True)
class TextUse:
    """What the texts use of the base vocabulary, and what they could use beside it."""

    source: np.ndarray
    """``(size,)`` int64: uses of each id in source text."""
    target: np.ndarray
    """``(size,)`` int64: uses of each id in the targets' training text."""
    source_words: TokenWords
    """The source's words; empty for Unigram."""
    target_words: TokenWords
    """The targets' words; empty for Unigram."""
    names: list[str]
    """The pieces behind the letters of the words: the base's, then ``characters``."""
    characters: list[str]
    """What the targets' text needs and the base lacks, most frequent first."""


@dataclass(frozen=True)
class Growth:
    """New pieces, and what builds them."""

    pieces: list[str]
    """Best first, without single characters."""
    characters: list[str]
    merges: list[Merge] = field(default_factory=list)
    """They come after the base's own."""
    scores: dict[str, float] = field(default_factory=dict)
    """Unigram log probabilities of all that is new."""
    refused: int = 0
    """Merges, or pieces of Unigram, that source text would have felt."""


def read_texts(
    base: "PreTrainedTokenizerBase",
    pipeline: Pipeline,
    config: PieceTraining,
    texts: VocabTexts,
    *,
    source_lines: int,
) -> TextUse:
    """Read the training text of the targets, and ``source_lines`` of the source, once each."""
    streams = training_streams(config, texts)
    if not pipeline.is_bpe:
        backend = base.backend_tokenizer
        every = (line for text in streams.values() for line in lines_of(text()))
        source = usage_counts(backend, lines_of(texts.source()), pipeline.size, limit=source_lines)
        target = usage_counts(backend, every, pipeline.size)
        return TextUse(source, target, TokenWords(), TokenWords(), [], [])
    counter = WordCounter(pipeline)
    targets = {name: counter.count(lines_of(text())) for name, text in streams.items()}
    names, characters = pieces_to_read(pipeline, counter, streams, targets)
    reader = WordReader(base, pipeline, names)
    target_words = reader.read(targets.values())
    source_lines_read = islice(lines_of(texts.source()), source_lines)
    source_words = reader.read([counter.count(source_lines_read)])
    usage = np.zeros((2, pipeline.size), dtype=np.int64)
    ids = [pipeline.pieces[piece] for piece in names[: len(names) - len(characters)]]
    usage[:, ids] = [each.usage[: len(ids)] for each in (source_words, target_words)]
    return TextUse(usage[0], usage[1], source_words, target_words, names, characters)


def pieces_to_read(
    pipeline: Pipeline,
    counter: WordCounter,
    streams: Mapping[str, Lines],
    counted: Mapping[str, Counted],
) -> tuple[list[str], list[str]]:
    """The pieces of a BPE in the order of their ids, then characters that the text has beside them.

    Returns:
        All, and the characters apart.
    """
    in_order = sorted(pipeline.pieces, key=pipeline.pieces.__getitem__)
    if counter.whole:
        counts = (counter.characters(text) for text in counted.values())
        characters = _beyond(pipeline, alphabet_of(counts, _coverage(pipeline)))
    else:
        characters = _missing_characters(pipeline, streams)
    return [*in_order, *characters], characters


def grow(
    pipeline: Pipeline,
    config: PieceTraining,
    texts: VocabTexts,
    use: TextUse,
    count: int,
    *,
    min_frequency: int = MIN_FREQUENCY,
) -> Growth:
    """Learn ``count`` new pieces, missing characters included; fewer in a short text.

    BPE is learnt on top of the base segmentation: training starts from the base tokens of each word
    instead of from characters, so every new piece is reachable and all base merges keep their
    precedence. What source text would feel more often than once in ``WORDS_PER_TOUCH`` words is
    refused, so that source text stays cut as it was.
    """
    if not pipeline.is_bpe:
        return _grow_unigram(pipeline, config, texts, count)
    characters = use.characters[:count]
    first = len(use.names) - len(use.characters)
    learnt = continue_merges(
        use.target_words,
        use.names,
        count - len(characters),
        guarded=guarded_pairs(use.source_words),
        apart=range(first + len(characters), len(use.names)),
        min_frequency=min_frequency,
        longest=longest_piece(pipeline),
    )
    return Growth(learnt.pieces, characters, learnt.merges, refused=learnt.refused)


def guarded_pairs(source_words: TokenWords) -> set[tuple[int, int]]:
    """Pairs of tokens that source text holds more often than a merge may touch it."""
    return source_words.pairs_above(source_words.words.total() // WORDS_PER_TOUCH)


def longest_piece(pipeline: Pipeline) -> int:
    """Longest new piece of a BPE, in the letters in which its pieces are spelt."""
    byte_level = pipeline.kind is TokenizerKind.byte_level_bpe
    return LONGEST_PIECE * (BYTES_PER_CHARACTER if byte_level else 1)


def _missing_characters(pipeline: Pipeline, streams: Mapping[str, Lines]) -> list[str]:
    if pipeline.kind is TokenizerKind.byte_level_bpe:
        return []
    normalizer = training_backend(pipeline).normalizer
    return _beyond(pipeline, find_alphabet(normalizer, streams, coverage=_coverage(pipeline)))


def _beyond(pipeline: Pipeline, alphabet: list[str]) -> list[str]:
    return [char for char in alphabet if char not in pipeline.pieces]


def _coverage(pipeline: Pipeline) -> float:
    return CHARACTER_COVERAGE if pipeline.has_bytes else 1.0


def _grow_unigram(
    pipeline: Pipeline, config: PieceTraining, texts: VocabTexts, count: int
) -> Growth:
    """The best pieces of a vocabulary of the targets alone, at half their probability there."""
    # Twice as many, since the base has part of them.
    learnt = learn_group(pipeline, config, texts, 2 * count)
    scores = {piece: score + NEW_SHARE for piece, score in learnt.scores.items()}
    characters = _missing_characters(pipeline, training_streams(config, texts))[:count]
    pieces = [piece for piece in learnt.pieces if piece not in pipeline.pieces]
    pieces = pieces[: count - len(characters)]
    floor = min(scores.values(), default=NEW_SHARE)
    return Growth(pieces, characters, scores={p: scores.get(p, floor) for p in pieces + characters})
