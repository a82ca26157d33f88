"""Spanish: subject verb object, adjective after the noun. Noun: singular/plural/gender."""

from franken.data.microworld.grammar import Words, word
from franken.data.microworld.lexicon import SHARED, Concept, concepts
from franken.data.microworld.meanings import Meaning

STOP = "."
FUNCTION_WORDS = (
    ("the", "el"), ("the", "la"), ("in", "en"), ("not", "no"), ("who", "quién"), ("what", "qué"),
    ("where", "dónde"), ("times", "veces"), ("time", "vez"), ("many", "cuántas"),
)  # fmt: skip


def _noun(concept: Concept, role: str) -> Words:
    article = "la" if concept.form("es", 2) == "f" else "el"
    return [word(article, f"{role}.det"), word(concept.form("es"), role)]


def _place(meaning: Meaning) -> Words:
    return (
        [] if meaning.place is None else [word("en", "place.case"), *_noun(meaning.place, "place")]
    )


def statement(meaning: Meaning) -> Words:
    """``el médico viejo no lee el libro en la escuela hoy .``"""
    words = _noun(meaning.subject, "subject")
    if meaning.adjective:
        feminine = meaning.subject.form("es", 2) == "f"
        words.append(word(meaning.adjective.form("es", int(feminine)), "adjective"))
    if meaning.negated:
        words.append(word("no", "neg"))
    words += [
        word(meaning.verb.form("es"), "verb"),
        *_noun(meaning.object, "object"),
        *_place(meaning),
    ]
    if meaning.time:
        words.append(word(meaning.time.form("es"), "time"))
    return [*words, word(STOP, "stop")]


def question(kind: str, meaning: Meaning) -> Words:
    """``quién lee el libro ?``, ``qué lee el médico ?``, ``dónde lee el médico el libro ?``"""
    wh = {"who": "quién", "what": "qué", "where": "dónde"}[kind]
    words = [word(wh, "wh"), word(meaning.verb.form("es"), "verb")]
    if kind != "who":
        words += _noun(meaning.subject, "subject")
    if kind != "what":
        words += _noun(meaning.object, "object")
    if kind != "where":
        words += _place(meaning)
    return [*words, word("?", "stop")]


def times(count: int) -> Words:
    """``tres veces``."""
    number = "una" if count == 1 else concepts(SHARED, "number")[count].form("es")
    return [word(number, "number"), word("vez" if count == 1 else "veces", "times")]


def how_many_times() -> Words:
    """``cuántas veces ?``"""
    return [word("cuántas", "wh"), word("veces", "times"), word("?", "stop")]
