"""Text as a tokenizer reads it: words of tokens, counted."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, compress
from typing import TYPE_CHECKING

import numpy as np
import regex

from franken.config.base_model import TokenizerKind
from franken.tokenizer.assembly import added_token, bpe_of, empty_backend
from franken.tokenizer.learn import has_multi_digit_pieces
from franken.tokenizer.pipeline import SPACE, Pipeline
from franken.tokenizer.sampling import CHUNK_LINES
from franken.tokenizer.word_counts import Counted

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

CHUNK_WORDS = 8192
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

    def pairs_above(self, uses: int) -> set[tuple[int, int]]:
        """Which two tokens stand side by side in a word more than ``uses`` times."""
        found = placed_pairs(list(self.words), list(self.words.values()))
        frequent = compress(found.letters, (found.counts > uses).tolist())
        return {(ord(p[0]) - FIRST_LETTER, ord(p[1]) - FIRST_LETTER) for p in frequent}


@dataclass(frozen=True)
class PlacedPairs:
    """The pairs of neighbours in some words, in ascending order."""

    letters: list[str]
    """Each pair, two letters."""
    counts: np.ndarray
    """``(pairs,)`` int64: how often it stands in the text."""
    places: np.ndarray
    """Numbers of the words in which it stands, pair after pair; a word once per occurrence."""
    bounds: np.ndarray
    """``(pairs + 1,)``: where in ``places`` those of each pair begin, and the end."""


def placed_pairs(words: Sequence[str], weights: Sequence[int]) -> PlacedPairs:
    """Count the pairs of neighbouring letters.

    Args:
        words: strings of letters, not empty.
        weights: how often the text holds each.
    """
    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    codes = np.frombuffer("".join(words).encode("utf-32-le"), dtype="<u4").astype(np.int64)
    inside = np.ones(max(0, len(codes) - 1), dtype=bool)
    inside[np.cumsum(lengths)[:-1] - 1] = False
    keys = ((codes[:-1] << 32) | codes[1:])[inside]
    word = np.repeat(np.arange(len(words)), lengths)[:-1][inside]
    distinct, inverse = np.unique(keys, return_inverse=True)
    weighed = np.asarray(weights, dtype=np.float64)[word]
    spelled = np.stack([distinct >> 32, distinct & 0xFFFFFFFF], axis=1).astype("<u4")
    text = spelled.tobytes().decode("utf-32-le")
    return PlacedPairs(
        letters=[text[at : at + 2] for at in range(0, len(text), 2)],
        counts=np.bincount(inverse, weighed, minlength=len(distinct)).astype(np.int64),
        places=word[np.argsort(inverse, kind="stable")],
        bounds=np.concatenate([[0], np.cumsum(np.bincount(inverse, minlength=len(distinct)))]),
    )


class WordReader:
    """Reads text as words of the tokens of a BPE tokenizer.

    A word ends where the tokenizer's own pre-tokeniser cuts. SentencePiece's kind often has none,
    since its pieces never cross words; there a word is what SentencePiece would not cross in
    training: letters with their marker, digits, a run of symbols.

    Args:
        base: the tokenizer.
        pipeline: the tokenizer's, perhaps with other rules for where words end.
        pieces: all of its pieces, and those that shall be read as pieces though it lacks them, in
            the order of the letters.
    """

    def __init__(
        self, base: "PreTrainedTokenizerBase", pipeline: Pipeline, pieces: Sequence[str]
    ) -> None:
        from tokenizers import Tokenizer

        letters = {piece: index for index, piece in enumerate(pieces)}
        self._pipeline, self._letters = pipeline, letters
        ids = pipeline.pieces
        if len(letters) > len(ids):
            ids = letters
            self._model = bpe_of(pipeline.spec["model"], letters, pipeline.merges)
        else:
            self._model = base.backend_tokenizer.model
        self._letter_of = np.zeros(max(ids.values(), default=-1) + 1, dtype=np.int64)
        self._letter_of[list(ids.values())] = [letters[piece] for piece in ids]
        self._bare = Tokenizer(self._model)
        apart = {token["content"] for token in pipeline.added}
        self._edges: tuple[np.ndarray, np.ndarray] | None = None
        if pipeline.kind is not TokenizerKind.byte_level_bpe:
            apart |= set(pipeline.reserved().values())
            self._edges = _edges(pieces, digits=has_multi_digit_pieces(pipeline))
        self._apart = np.zeros(len(letters), dtype=bool)
        self._apart[[letters[piece] for piece in apart]] = True

    def read(self, texts: Iterable[Counted]) -> TokenWords:
        """The words of texts; each distinct one is encoded once, and taken out of its text."""
        found = TokenWords(usage=np.zeros(len(self._letters), dtype=np.int64))
        for text in texts:
            while text.words:
                chunk = [text.words.popitem() for _ in range(min(CHUNK_WORDS, len(text.words)))]
                words, weights = [word for word, _ in chunk], [uses for _, uses in chunk]
                encoded = self._bare.encode_batch_fast(words, add_special_tokens=False)
                ids = [each.ids for each in encoded]
                self._add(found, ids, self._letter_of, np.array(weights))
            for start in range(0, len(text.apart), CHUNK_LINES):
                self._add_lines(found, text.apart[start : start + CHUNK_LINES])
        return found

    def _add_lines(self, found: TokenWords, lines: list[str]) -> None:
        """Add lines with added tokens, which cut a text before it is normalised and split."""
        # Not `encode_batch_fast`: it returns no word ids.
        encodings = self._with_added.encode_batch(lines, add_special_tokens=False)
        ids = [each.ids for each in encodings]
        words = np.array([word for each in encodings for word in each.word_ids], dtype=np.float64)
        starts = np.ones(len(words), dtype=bool)
        starts[1:] = words[1:] != words[:-1]
        self._add(found, ids, self._letter_of_added, np.ones(len(ids), dtype=np.int64), starts)

    def _add(
        self,
        found: TokenWords,
        texts: list[list[int]],
        letter_of: np.ndarray,
        weights: np.ndarray,
        starts: np.ndarray | None = None,
    ) -> None:
        """Add encoded texts with their weights; ``starts``: where words begin inside a text."""
        lengths = np.array([len(ids) for ids in texts], dtype=np.int64)
        flat = np.fromiter(chain.from_iterable(texts), dtype=np.int64, count=int(lengths.sum()))
        letters = letter_of[flat]
        spread = np.repeat(weights, lengths)
        found.usage += np.bincount(letters, spread, minlength=len(found.usage)).astype(np.int64)
        inner = np.zeros(len(letters), dtype=bool) if starts is None else starts
        if self._edges is not None:
            firsts, lasts = self._edges
            inner[1:] |= ~_joins(lasts[letters[:-1]], firsts[letters[1:]])
        spelled = self._spell(letters, lengths, inner).split("\n")[1:]
        for text, weight in zip(spelled, weights.tolist(), strict=True):
            if " " in text:
                for word in text.split():
                    found.words[word] += weight
            elif text:
                found.words[text] += weight

    def _spell(self, letters: np.ndarray, lengths: np.ndarray, starts: np.ndarray) -> str:
        """Letters, a line per text, with a space before each word and for each that is apart."""
        marks = np.full(len(lengths), ord("\n"), dtype="<u4")
        at = np.cumsum(lengths) - lengths
        codes = np.where(self._apart[letters], ord(" "), letters + FIRST_LETTER).astype("<u4")
        inside = np.flatnonzero(starts)
        places = np.concatenate([at, inside])
        values = np.concatenate([marks, np.full(len(inside), ord(" "), dtype="<u4")])
        # Marks of texts that begin at one place keep their order, before that of a word there.
        return np.insert(codes, places, values).tobytes().decode("utf-32-le")

    @cached_property
    def _with_added(self) -> "Tokenizer":
        backend = empty_backend({**self._pipeline.spec, "post_processor": None})
        backend.model = self._model
        in_order = sorted(self._pipeline.added, key=lambda token: token["id"])
        backend.add_tokens([added_token(token) for token in in_order])
        return backend

    @cached_property
    def _letter_of_added(self) -> np.ndarray:
        """Letters of the ids of :attr:`_with_added`, which numbers what the model lacks anew."""
        ids = self._with_added.get_added_tokens_decoder()
        found = np.zeros(max([len(self._letter_of) - 1, *ids]) + 1, dtype=np.int64)
        found[: len(self._letter_of)] = self._letter_of
        for index, token in ids.items():
            found[index] = self._letters[token.content]
        return found


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
