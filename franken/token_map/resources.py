"""What methods may draw on beside the two vocabularies."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from franken.errors import DataError
from franken.parts.table import Table

if TYPE_CHECKING:
    from franken.alignment import WordTable
    from franken.word_vectors import VectorSpace

Lexicon = list[tuple[str, str]]
"""Pairs of a source word and a target word."""


@dataclass
class InitResources:
    """Side resources; a method that lacks what it needs says so."""

    source_language: str = "en"
    languages: list[str] = field(default_factory=list)
    """Target languages, in the order of the configuration."""
    lexicons: dict[str, Lexicon] = field(default_factory=dict)
    """Target language -> dictionary."""
    alignments: dict[str, "WordTable"] = field(default_factory=dict)
    """Target language -> word-pair counts of its parallel text."""
    word_vectors: dict[str, "VectorSpace"] = field(default_factory=dict)
    """Language, the source's included -> vectors of its words."""
    piece_vectors: dict[str, "VectorSpace"] = field(default_factory=dict)
    """``target``: vectors of target pieces by label; ``source``: of source pieces, trained on the
    same target text."""
    helper: Table | None = None
    """Tokenizer and rows of a target-language model."""
    texts: Callable[[str], Iterator[str]] | None = None
    """Target language -> its monolingual records, from the start at each call."""
    extra: dict[str, Any] = field(default_factory=dict)
    """For methods of other packages."""
    device: str = "cpu"
    """Where neighbours, pursuits and least squares are computed; maps are made on the CPU."""

    def require(self, name: str, method: str) -> Any:
        """A resource that a method cannot do without.

        Raises:
            DataError: where it is absent or empty.
        """
        found = getattr(self, name)
        if not found:
            raise DataError(
                f"init_method={method} needs {name.replace('_', ' ')}, and there are none: name "
                "the step that makes them in the recipe, or pass them in InitResources"
            )
        return found


def text_of(
    texts: Callable[[str], Iterator[str]], languages: Iterable[str], megabytes: float
) -> Iterator[str]:
    """Up to so much text of every language, one language after the other."""
    for language in languages:
        left = megabytes * 1e6
        for text in texts(language):
            if left <= 0:
                break
            left -= len(text.encode())
            yield text
