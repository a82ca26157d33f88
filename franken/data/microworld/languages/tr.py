"""Turkish: verb-final, agglutinative. Noun: nominative/accusative/locative. Verb: yes/no form."""

from franken.data.microworld.grammar import Words, word
from franken.data.microworld.lexicon import SHARED, concepts
from franken.data.microworld.meanings import Meaning

STOP = "."
FUNCTION_WORDS = (
    ("who", "kim"), ("what", "ne"), ("where", "nerede"), ("times", "kez"), ("many", "kaç"),
)  # fmt: skip


def _place(meaning: Meaning) -> Words:
    if meaning.place is None:
        return []
    return [word(meaning.place.form("tr", 2), "place", "place.case")]


def _verb(meaning: Meaning) -> Words:
    if meaning.negated:
        return [word(meaning.verb.form("tr", 1), "verb", "neg")]
    return [word(meaning.verb.form("tr"), "verb")]


def statement(meaning: Meaning) -> Words:
    """``bugün yaşlı doktor okulda kitabı okumuyor .``"""
    words = [word(meaning.time.form("tr"), "time")] if meaning.time else []
    if meaning.adjective:
        words.append(word(meaning.adjective.form("tr"), "adjective"))
    words += [word(meaning.subject.form("tr"), "subject"), *_place(meaning)]
    words += [word(meaning.object.form("tr", 1), "object"), *_verb(meaning)]
    return [*words, word(STOP, "stop")]


def question(kind: str, meaning: Meaning) -> Words:
    """``kitabı kim okuyor ?``, ``doktor ne okuyor ?``, ``doktor kitabı nerede okuyor ?``"""
    subject = word(meaning.subject.form("tr"), "subject")
    thing = word(meaning.object.form("tr", 1), "object")
    if kind == "who":
        words = [*_place(meaning), thing, word("kim", "wh")]
    elif kind == "what":
        words = [subject, *_place(meaning), word("ne", "wh")]
    else:
        words = [subject, thing, word("nerede", "wh")]
    return [*words, word(meaning.verb.form("tr"), "verb"), word("?", "stop")]


def times(count: int) -> Words:
    """``üç kez``."""
    return [word(concepts(SHARED, "number")[count].form("tr"), "number"), word("kez", "times")]


def how_many_times() -> Words:
    """``kaç kez ?``"""
    return [word("kaç", "wh"), word("kez", "times"), word("?", "stop")]
