"""English: subject verb object, articles, do-support. Noun: singular/plural. Verb: reads/read."""

from franken.data.microworld.grammar import Words, word
from franken.data.microworld.lexicon import SHARED, Concept, concepts
from franken.data.microworld.meanings import Meaning

STOP = "."
FUNCTION_WORDS: tuple[tuple[str, str], ...] = ()


def _noun(concept: Concept, role: str) -> Words:
    return [word("the", f"{role}.det"), word(concept.form("en"), role)]


def _place(meaning: Meaning) -> Words:
    return (
        [] if meaning.place is None else [word("in", "place.case"), *_noun(meaning.place, "place")]
    )


def statement(meaning: Meaning) -> Words:
    """``the old doctor does not read the book in the school today .``"""
    words = [word("the", "subject.det")]
    if meaning.adjective:
        words.append(word(meaning.adjective.form("en"), "adjective"))
    words.append(word(meaning.subject.form("en"), "subject"))
    if meaning.negated:
        words += [word("does", "neg"), word("not", "neg"), word(meaning.verb.form("en", 1), "verb")]
    else:
        words.append(word(meaning.verb.form("en"), "verb"))
    words += [*_noun(meaning.object, "object"), *_place(meaning)]
    if meaning.time:
        words.append(word(meaning.time.form("en"), "time"))
    return [*words, word(STOP, "stop")]


def question(kind: str, meaning: Meaning) -> Words:
    """``who reads the book ?``, ``what does the doctor read ?``, ``where does ... ?``"""
    if kind == "who":
        words = [word("who", "wh"), word(meaning.verb.form("en"), "verb")]
        words += [*_noun(meaning.object, "object"), *_place(meaning)]
    else:
        words = [word(kind, "wh"), word("does", "aux"), *_noun(meaning.subject, "subject")]
        words.append(word(meaning.verb.form("en", 1), "verb"))
        words += _noun(meaning.object, "object") if kind == "where" else _place(meaning)
    return [*words, word("?", "stop")]


def times(count: int) -> Words:
    """``three times``."""
    number = concepts(SHARED, "number")[count].form("en")
    return [word(number, "number"), word("time" if count == 1 else "times", "times")]


def how_many_times() -> Words:
    """``how many times ?``"""
    return [word("how", "wh"), word("many", "wh"), word("times", "times"), word("?", "stop")]
