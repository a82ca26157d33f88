"""New WordPiece pieces on top of a finished vocabulary.

WordPiece has no merges: a word is cut into the longest piece that begins it, the longest that goes
on from there, and so on. A new piece is therefore felt by every word that has its text where a
shorter piece stands now, and pieces that source text would feel are refused by that rule.
"""

import math
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from franken.tokenizer.continued import MIN_FREQUENCY, continue_merges
from franken.tokenizer.growth import WORDS_PER_TOUCH, Growth
from franken.tokenizer.language_group import training_streams
from franken.tokenizer.learn import LONGEST_PIECE
from franken.tokenizer.options import PieceTraining
from franken.tokenizer.pipeline import Pipeline
from franken.tokenizer.sampling import lines_of
from franken.tokenizer.token_words import FIRST_LETTER, TokenWords
from franken.tokenizer.types import VocabTexts
from franken.tokenizer.word_counts import WordCounter

_BEGIN = "\ue000"
"""Begins the name of a piece that begins a word, so that names add up as their texts do."""
_SPARE = 1.2


def grow_wordpiece(
    pipeline: Pipeline, config: PieceTraining, texts: VocabTexts, count: int, *, source_lines: int
) -> Growth:
    """Learn ``count`` new pieces, missing characters included; fewer in a short text.

    Learnt on top of the base segmentation, as for BPE (:func:`franken.tokenizer.growth.grow`).

    Args:
        pipeline: of a WordPiece tokenizer.
        config: which text is read.
        texts: of targets and source.
        count: new pieces wanted.
        source_lines: source text that stays cut as it is, but for one word in a million.

    Returns:
        Pieces in WordPiece's spelling, best first.
    """
    counter = WordCounter(pipeline)
    streams = training_streams(config, texts)
    words: Counter[str] = Counter()
    for text in streams.values():
        words.update(counter.count(lines_of(text())).words)
    source = counter.count(islice(lines_of(texts.source()), source_lines)).words
    spelling = _Spelling(pipeline)
    characters = spelling.missing(words)[:count]
    reader = _Reader(spelling, characters)
    read, barred = reader.read(words), felt(source, reader, source.total() // WORDS_PER_TOUCH)
    refused: set[str] = set()

    def fits(name: str) -> bool:
        if name in barred:
            refused.add(name)
        return name not in barred

    wanted = asked = count - len(characters)
    while True:
        learnt = continue_merges(
            read, reader.names, asked, fits=fits, apart=reader.apart,
            min_frequency=MIN_FREQUENCY, longest=LONGEST_PIECE + 1,
        )  # fmt: skip
        pieces = [spelling.piece(name) for name in learnt.pieces]
        used = _Reader(spelling, [*characters, *pieces]).used(words)
        alive = [piece for piece in pieces if piece in used]
        if len(alive) >= wanted or len(pieces) < asked:
            return Growth(alive[:wanted], characters, refused=len(refused))
        # longer pieces leave nothing of some: as many more, and a few
        asked += math.ceil(_SPARE * (wanted - len(alive)))


def felt(source: Counter[str], reader: "_Reader", tolerated: int) -> set[str]:
    """Names of pieces that would cut source words otherwise, more than ``tolerated`` times."""
    touched: Counter[str] = Counter()
    for word, uses in source.items():
        at = 0
        for length in reader.lengths(word):
            begin = "" if at else _BEGIN
            for end in range(at + length + 1, min(len(word), at + LONGEST_PIECE) + 1):
                touched[begin + word[at:end]] += uses
            at += length
    return {name for name, uses in touched.items() if uses > tolerated}


class _Spelling:
    """Pieces as names that add up: a mark for the beginning of a word in place of ``##`` inside."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline, self._inner = pipeline, pipeline.continuation

    def name(self, piece: str) -> str:
        if self._inner and piece.startswith(self._inner) and piece != self._inner:
            return piece.removeprefix(self._inner)
        return _BEGIN + piece

    def piece(self, name: str) -> str:
        return name[1:] if name.startswith(_BEGIN) else self._inner + name

    def missing(self, words: Counter[str]) -> list[str]:
        """Characters that words need where they stand, and that the base lacks; frequent first."""
        needed: Counter[str] = Counter()
        for word, uses in words.items():
            for place, char in enumerate(word):
                needed[self.piece(char if place else _BEGIN + char)] += uses
        lacking = [piece for piece in needed if piece not in self.pipeline.pieces]
        return sorted(lacking, key=lambda piece: (-needed[piece], piece))


class _Reader:
    """Cuts words with the base's pieces and further ones."""

    def __init__(self, spelling: _Spelling, further: Iterable[str]) -> None:
        from tokenizers import Tokenizer, models

        model = spelling.pipeline.spec["model"]
        pieces = spelling.pipeline.pieces
        self._pieces = [*sorted(pieces, key=pieces.__getitem__), *further]
        ids = {piece: index for index, piece in enumerate(self._pieces)}
        unknown = model["unk_token"]
        self.names = [spelling.name(piece) for piece in self._pieces]
        self.apart = [ids[unknown]]
        """What words that cannot be cut become."""
        self._bare = Tokenizer(
            models.WordPiece(
                vocab=ids,
                unk_token=unknown,
                continuing_subword_prefix=model["continuing_subword_prefix"],
                max_input_chars_per_word=model["max_input_chars_per_word"],
            )
        )

    def read(self, words: Counter[str]) -> TokenWords:
        """The words, one letter per token; those that cannot be cut are left out."""
        found: Counter[str] = Counter()
        for word, ids in self._cut(words):
            if ids != self.apart:
                found["".join(chr(FIRST_LETTER + index) for index in ids)] += words[word]
        return TokenWords(found)

    def used(self, words: Counter[str]) -> set[str]:
        """Pieces that the words are cut into."""
        return {self._pieces[index] for _, ids in self._cut(words) for index in ids}

    def lengths(self, word: str) -> list[int]:
        """Characters of each token of a word; none where it cannot be cut."""
        ids = self._bare.encode(word, add_special_tokens=False).ids
        if ids == self.apart:
            return []
        return [len(self.names[index].removeprefix(_BEGIN)) for index in ids]

    def _cut(self, words: Counter[str]) -> Iterable[tuple[str, list[int]]]:
        texts = list(words)
        encoded = self._bare.encode_batch_fast(texts, add_special_tokens=False)
        return ((word, each.ids) for word, each in zip(texts, encoded, strict=True))
