"""English: subject verb object, articles, do-support. Noun: singular/plural. Verb: reads/read."""

from franken.data.microworld.frames import Frame
from franken.data.microworld.grammar import Words, word
from franken.data.microworld.lexicon import SHARED, Concept, concepts

STOP = "."
FUNCTION_WORDS: tuple[tuple[str, str], ...] = ()


def _noun(concept: Concept, role: str) -> Words:
    return [word("the", f"{role}.det"), word(concept.form("en"), role)]


def _place(frame: Frame) -> Words:
    return [] if frame.place is None else [word("in", "place.case"), *_noun(frame.place, "place")]


def statement(frame: Frame) -> Words:
    """``the old doctor does not read the book in the school today .``"""
    words = [word("the", "subject.det")]
    if frame.adjective:
        words.append(word(frame.adjective.form("en"), "adjective"))
    words.append(word(frame.subject.form("en"), "subject"))
    if frame.negated:
        words += [word("does", "neg"), word("not", "neg"), word(frame.verb.form("en", 1), "verb")]
    else:
        words.append(word(frame.verb.form("en"), "verb"))
    words += [*_noun(frame.object, "object"), *_place(frame)]
    if frame.time:
        words.append(word(frame.time.form("en"), "time"))
    return [*words, word(STOP, "stop")]


def question(kind: str, frame: Frame) -> Words:
    """``who reads the book ?``, ``what does the doctor read ?``, ``where does ... ?``"""
    if kind == "who":
        words = [word("who", "wh"), word(frame.verb.form("en"), "verb")]
        words += [*_noun(frame.object, "object"), *_place(frame)]
    else:
        words = [word(kind, "wh"), word("does", "aux"), *_noun(frame.subject, "subject")]
        words.append(word(frame.verb.form("en", 1), "verb"))
        words += _noun(frame.object, "object") if kind == "where" else _place(frame)
    return [*words, word("?", "stop")]


def times(count: int) -> Words:
    """``three times``."""
    number = concepts(SHARED, "number")[count].form("en")
    return [word(number, "number"), word("time" if count == 1 else "times", "times")]


def how_many_times() -> Words:
    """``how many times ?``"""
    return [word("how", "wh"), word("many", "wh"), word("times", "times"), word("?", "stop")]
