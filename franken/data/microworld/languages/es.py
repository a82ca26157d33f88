"""Spanish: subject verb object, adjective after the noun. Noun: singular/plural/gender."""

from franken.data.microworld.frames import Frame
from franken.data.microworld.grammar import Words, word
from franken.data.microworld.lexicon import SHARED, Concept, concepts

STOP = "."
FUNCTION_WORDS = (
    ("the", "el"), ("the", "la"), ("in", "en"), ("not", "no"), ("who", "quién"), ("what", "qué"),
    ("where", "dónde"), ("times", "veces"), ("time", "vez"), ("many", "cuántas"),
)  # fmt: skip


def _noun(concept: Concept, role: str) -> Words:
    article = "la" if concept.form("es", 2) == "f" else "el"
    return [word(article, f"{role}.det"), word(concept.form("es"), role)]


def _place(frame: Frame) -> Words:
    return [] if frame.place is None else [word("en", "place.case"), *_noun(frame.place, "place")]


def statement(frame: Frame) -> Words:
    """``el médico viejo no lee el libro en la escuela hoy .``"""
    words = _noun(frame.subject, "subject")
    if frame.adjective:
        feminine = frame.subject.form("es", 2) == "f"
        words.append(word(frame.adjective.form("es", int(feminine)), "adjective"))
    if frame.negated:
        words.append(word("no", "neg"))
    words += [word(frame.verb.form("es"), "verb"), *_noun(frame.object, "object"), *_place(frame)]
    if frame.time:
        words.append(word(frame.time.form("es"), "time"))
    return [*words, word(STOP, "stop")]


def question(kind: str, frame: Frame) -> Words:
    """``quién lee el libro ?``, ``qué lee el médico ?``, ``dónde lee el médico el libro ?``"""
    wh = {"who": "quién", "what": "qué", "where": "dónde"}[kind]
    words = [word(wh, "wh"), word(frame.verb.form("es"), "verb")]
    if kind != "who":
        words += _noun(frame.subject, "subject")
    if kind != "what":
        words += _noun(frame.object, "object")
    if kind != "where":
        words += _place(frame)
    return [*words, word("?", "stop")]


def times(count: int) -> Words:
    """``tres veces``."""
    number = "una" if count == 1 else concepts(SHARED, "number")[count].form("es")
    return [word(number, "number"), word("vez" if count == 1 else "veces", "times")]


def how_many_times() -> Words:
    """``cuántas veces ?``"""
    return [word("cuántas", "wh"), word("veces", "times"), word("?", "stop")]
