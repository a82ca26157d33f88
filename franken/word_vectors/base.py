"""What every option of word vectors has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any, ClassVar

from franken.lazy import later

with later():
    from franken.word_vectors.common.pieces import cut_to_pieces
    from franken.word_vectors.common.space import VectorSpace
    from franken.word_vectors.common.words import words_of


class PieceSide(StrEnum):
    """Spaces of ``unit: pieces``: whose tokenizer cut the target text."""

    target = "target"
    source = "source"


class VectorUnit(StrEnum):
    """What has a vector."""

    words = "words"
    """White-space words; one space for each language, the source language included."""
    pieces = "pieces"
    """Pieces of the target text as the target tokenizer cuts it, and as the source's does."""


Lines = Callable[[str, int | None], Iterable[str]]
"""Lines of a language's text, at most so many (``None``: all)."""


@dataclass
class WordVectors:
    """Makes spaces of vectors."""

    reads_text: ClassVar[bool] = True
    """Whether vectors are trained on the text of the data; false where they are read from files."""

    name: str = ""
    """The option."""

    def files(self, unit: VectorUnit, languages: list[str]) -> dict[str, str]:
        """Key of a space -> the file it is read from, whose content is in the step's key."""
        return {}

    def of_words(
        self, languages: Iterable[str], lines: Lines, seeds: Callable[[str], int]
    ) -> dict[str, VectorSpace]:
        """One space per language.

        Args:
            languages: the source language too.
            lines: text to train on.
            seeds: language -> seed of its training.

        Raises:
            DataError: where text or files are missing.
        """
        raise NotImplementedError

    def of_pieces(
        self, tokenizers: Mapping[str, Any], languages: list[str], lines: Lines, seed: int
    ) -> dict[str, VectorSpace]:
        """Spaces by side: pieces of the target languages' text.

        Args:
            tokenizers: side (``target``, ``source``) -> its tokenizer, for the sides that are asked
                for.
            languages: the target languages.
            lines: text to train on.
            seed: of the training.

        Raises:
            DataError: where text or files are missing.
        """
        raise NotImplementedError


class TextVectors(WordVectors):
    """Trains each space on sentences of the data's text; a subclass has ``space_of``."""

    max_lines: int | None
    """Lines per language at most."""

    def space_of(self, sentences: Sequence[Sequence[str]], seed: int, *, what: str) -> VectorSpace:
        """Train a space on sentences of words or pieces; ``what`` names the text in errors."""
        raise NotImplementedError

    def of_words(
        self, languages: Iterable[str], lines: Lines, seeds: Callable[[str], int]
    ) -> dict[str, VectorSpace]:
        return {
            language: self.space_of(
                [words_of(line) for line in lines(language, self.max_lines)],
                seeds(language),
                what=f"monolingual text of {language}",
            )
            for language in languages
        }

    def of_pieces(
        self, tokenizers: Mapping[str, Any], languages: list[str], lines: Lines, seed: int
    ) -> dict[str, VectorSpace]:
        spaces = {}
        for side, tokenizer in tokenizers.items():
            text = chain.from_iterable(lines(language, self.max_lines) for language in languages)
            spaces[side] = self.space_of(
                list(cut_to_pieces(text, tokenizer)),
                seed,
                what=f"text of {', '.join(languages)} in pieces of the {side} tokenizer",
            )
        return spaces
