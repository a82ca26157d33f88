"""Turkish: verb-final, agglutinative. Noun: nominative/accusative/locative. Verb: yes/no form."""

from franken.data.microworld.frames import Frame
from franken.data.microworld.grammar import Words, word
from franken.data.microworld.lexicon import SHARED, concepts

STOP = "."
FUNCTION_WORDS = (
    ("who", "kim"), ("what", "ne"), ("where", "nerede"), ("times", "kez"), ("many", "kaç"),
)  # fmt: skip


def _place(frame: Frame) -> Words:
    if frame.place is None:
        return []
    return [word(frame.place.form("tr", 2), "place", "place.case")]


def _verb(frame: Frame) -> Words:
    if frame.negated:
        return [word(frame.verb.form("tr", 1), "verb", "neg")]
    return [word(frame.verb.form("tr"), "verb")]


def statement(frame: Frame) -> Words:
    """``bugün yaşlı doktor okulda kitabı okumuyor .``"""
    words = [word(frame.time.form("tr"), "time")] if frame.time else []
    if frame.adjective:
        words.append(word(frame.adjective.form("tr"), "adjective"))
    words += [word(frame.subject.form("tr"), "subject"), *_place(frame)]
    words += [word(frame.object.form("tr", 1), "object"), *_verb(frame)]
    return [*words, word(STOP, "stop")]


def question(kind: str, frame: Frame) -> Words:
    """``kitabı kim okuyor ?``, ``doktor ne okuyor ?``, ``doktor kitabı nerede okuyor ?``"""
    subject = word(frame.subject.form("tr"), "subject")
    thing = word(frame.object.form("tr", 1), "object")
    if kind == "who":
        words = [*_place(frame), thing, word("kim", "wh")]
    elif kind == "what":
        words = [subject, *_place(frame), word("ne", "wh")]
    else:
        words = [subject, thing, word("nerede", "wh")]
    return [*words, word(frame.verb.form("tr"), "verb"), word("?", "stop")]


def times(count: int) -> Words:
    """``üç kez``."""
    return [word(concepts(SHARED, "number")[count].form("tr"), "number"), word("kez", "times")]


def how_many_times() -> Words:
    """``kaç kez ?``"""
    return [word("kaç", "wh"), word("kez", "times"), word("?", "stop")]
