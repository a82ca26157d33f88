"""Text as a tokenizer reads it: words of tokens, counted."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import numpy as np
import regex

from franken.config.base_model import TokenizerKind
from franken.tokenizer.learn import has_multi_digit_pieces
from franken.tokenizer.pipeline import SPACE, Pipeline, spec_of
from franken.tokenizer.sampling import CHUNK_LINES, Lines, lines_of

if TYPE_CHECKING:
    from tokenizers import Encoding

FIRST_LETTER = 0x10000
"""Each token is written as one character from here on, so that words of tokens are strings."""
_APART, _LETTER, _SYMBOL, _DIGIT, _MARKER = range(5)
"""What a token ends or begins with, where no pre-tokeniser says which tokens make a word."""


@dataclass
class TokenWords:
    """The words of a text, each a string with one letter per token."""

    words: Counter[str] = field(default_factory=Counter)
    usage: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """``(size,)`` int64: how often the text uses each token."""

    def pairs(self) -> Counter[tuple[int, int]]:
        """How often two tokens stand side by side in a word."""
        found: Counter[tuple[int, int]] = Counter()
        for word, count in self.words.items():
            for left, right in pairwise(word):
                found[ord(left) - FIRST_LETTER, ord(right) - FIRST_LETTER] += count
        return found


class WordReader:
    """Reads text as words of the tokens of a BPE tokenizer.

    A word ends where the tokenizer's own pre-tokeniser cuts. SentencePiece's kind often has none,
    since its pieces never cross words; there a word is what SentencePiece would not cross in
    training: letters with their marker, digits, a run of symbols.

    Args:
        pipeline: the tokenizer's.
        pieces: all of its pieces, and those that shall be read as pieces though it lacks them, in
            the order of the letters.
    """

    def __init__(self, pipeline: Pipeline, pieces: Sequence[str]) -> None:
        from tokenizers import Tokenizer

        dense = {piece: index for index, piece in enumerate(pieces)}
        spec = spec_of(
            Pipeline(
                pipeline.kind,
                {**pipeline.spec, "post_processor": None},
                dense,
                pipeline.merges,
                added=pipeline.added,
            )
        )
        self._encoder = Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))
        self._size = len(dense)
        apart = {token["content"] for token in pipeline.added}
        self._edges: tuple[np.ndarray, np.ndarray] | None = None
        if pipeline.kind is not TokenizerKind.byte_level_bpe:
            apart |= set(pipeline.reserved().values())
            self._edges = _edges(pieces, digits=has_multi_digit_pieces(pipeline))
        self._apart = np.zeros(self._size, dtype=bool)
        self._apart[[dense[piece] for piece in apart]] = True

    def read(self, texts: Iterable[Lines], *, limit: int | None = None) -> TokenWords:
        """Count the words of texts, of at most ``limit`` lines in all."""
        found = TokenWords(usage=np.zeros(self._size, dtype=np.int64))
        lines = islice((line for text in texts for line in lines_of(text())), limit)
        while chunk := list(islice(lines, CHUNK_LINES)):
            # Not `encode_batch_fast`: it returns no word ids.
            encodings = self._encoder.encode_batch(chunk, add_special_tokens=False)
            ids = np.concatenate([np.asarray(each.ids, dtype=np.int64) for each in encodings])
            found.usage += np.bincount(ids, minlength=self._size)
            found.words.update(self._spell(ids, encodings).split())
        return found

    def _spell(self, ids: np.ndarray, encodings: "list[Encoding]") -> str:
        """Tokens as letters, with a space before each word and in place of each that is apart."""
        words = np.concatenate([np.asarray(each.word_ids, dtype=np.float64) for each in encodings])
        lengths = np.array([len(each.ids) for each in encodings])
        starts = np.ones(len(ids), dtype=bool)
        starts[1:] = words[1:] != words[:-1]
        starts[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
        if self._edges is not None:
            firsts, lasts = self._edges
            starts[1:] |= ~_joins(lasts[ids[:-1]], firsts[ids[1:]])
        spelled = np.full(len(ids) + int(starts.sum()), ord(" "), dtype="<u4")
        spelled[np.arange(len(ids)) + np.cumsum(starts)] = np.where(
            self._apart[ids], ord(" "), ids + FIRST_LETTER
        )
        return spelled.tobytes().decode("utf-32-le")


def _edges(pieces: Sequence[str], *, digits: bool) -> tuple[np.ndarray, np.ndarray]:
    """What each piece begins and ends with; pieces across a word's border are apart."""
    shapes = {
        regex.compile("[\\p{L}\\p{M}\u200c\u200d]+"): (_LETTER, _LETTER),
        regex.compile(f"{SPACE}[\\p{{L}}\\p{{M}}\u200c\u200d]+"): (_MARKER, _LETTER),
        regex.compile(rf"[^{SPACE}\p{{L}}\p{{M}}\p{{N}}]+"): (_SYMBOL, _SYMBOL),
        regex.compile(rf"{SPACE}[^{SPACE}\p{{L}}\p{{M}}\p{{N}}]+"): (_MARKER, _SYMBOL),
        regex.compile(SPACE): (_MARKER, _MARKER),
    }
    if digits:
        shapes[regex.compile(r"\p{N}+")] = (_DIGIT, _DIGIT)
        shapes[regex.compile(rf"{SPACE}\p{{N}}+")] = (_MARKER, _DIGIT)
    firsts = np.zeros(len(pieces), dtype=np.int8)
    lasts = np.zeros(len(pieces), dtype=np.int8)
    for index, piece in enumerate(pieces):
        for shape, edges in shapes.items():
            if shape.fullmatch(piece):
                firsts[index], lasts[index] = edges
                break
    return firsts, lasts


def _joins(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Whether a word goes on from tokens that end in ``left`` to such that begin with ``right``."""
    inner = (right == _LETTER) | (right == _SYMBOL) | (right == _DIGIT)
    joins: np.ndarray = inner & ((left == right) | (left == _MARKER))
    return joins
