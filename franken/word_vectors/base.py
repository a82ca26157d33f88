"""What every option of word vectors has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from franken.word_vectors.common.space import VectorSpace


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
