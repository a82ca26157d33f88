"""What every language's grammar offers: statements, questions, counts, and links to English."""

import importlib
from collections.abc import Callable
from functools import cache
from typing import NamedTuple, Protocol

from franken.data.microworld.meanings import Meaning

LANGUAGES = {
    "en": "english", "es": "spanish", "id": "indonesian", "tr": "turkish", "hi": "hindi",
    "ru": "russian", "ka": "georgian",
}  # fmt: skip
"""Code -> English name."""


class Word(NamedTuple):
    """A word of a sentence and the parts of the meaning that it carries."""

    text: str
    roles: tuple[str, ...]
    """subject, adjective, verb, object, place, time, neg, stop, wh; with ``.det`` or ``.case`` for
    articles and for words that mark a case."""


Words = list[Word]


class Grammar(Protocol):
    """A module ``languages/<code>.py``."""

    STOP: str
    """Full stop."""
    FUNCTION_WORDS: tuple[tuple[str, str], ...]
    """(English word, word): function words for the lexicon."""

    statement: Callable[[Meaning], Words]
    """The declarative sentence, full stop included."""
    question: Callable[[str, Meaning], Words]
    """``who``, ``what`` or ``where`` about a meaning, question mark included."""
    times: Callable[[int], Words]
    """``n`` times, for 1 to 9."""
    how_many_times: Callable[[], Words]
    """The question word(s), question mark included."""


@cache
def grammar(language: str) -> Grammar:
    """The grammar of a language."""
    module: Grammar = importlib.import_module(  # type: ignore[assignment]
        f"franken.data.microworld.languages.{language}"
    )
    return module


def sentence(words: Words) -> str:
    """Words joined by spaces."""
    return " ".join(word.text for word in words)


def links(source: Words, target: Words) -> tuple[tuple[int, int], ...]:
    """Gold alignment: words that carry the same part of the meaning."""
    return tuple(
        (i, j)
        for i, left in enumerate(source)
        for j, right in enumerate(target)
        if set(left.roles) & set(right.roles)
    )


def word(text: str, *roles: str) -> Word:
    """Shorthand for the grammars."""
    return Word(text, roles)
