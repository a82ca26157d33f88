"""Indonesian: English word order, no articles, no inflection; adjective after the noun."""

from franken.data.microworld.grammar import Words, word
from franken.data.microworld.lexicon import SHARED, concepts
from franken.data.microworld.meanings import Meaning

STOP = "."
FUNCTION_WORDS = (
    ("in", "di"), ("not", "tidak"), ("who", "siapa"), ("what", "apa"), ("where", "mana"),
    ("times", "kali"), ("many", "berapa"),
)  # fmt: skip


def _place(meaning: Meaning) -> Words:
    if meaning.place is None:
        return []
    return [word("di", "place.case"), word(meaning.place.form("id"), "place")]


def statement(meaning: Meaning) -> Words:
    """``dokter tua tidak membaca buku di sekolah sekarang .``"""
    words = [word(meaning.subject.form("id"), "subject")]
    if meaning.adjective:
        words.append(word(meaning.adjective.form("id"), "adjective"))
    if meaning.negated:
        words.append(word("tidak", "neg"))
    words += [word(meaning.verb.form("id"), "verb"), word(meaning.object.form("id"), "object")]
    words += _place(meaning)
    if meaning.time:
        words.append(word(meaning.time.form("id"), "time"))
    return [*words, word(STOP, "stop")]


def question(kind: str, meaning: Meaning) -> Words:
    """``siapa membaca buku ?``, ``dokter membaca apa ?``, ``di mana dokter membaca buku ?``"""
    subject, verb = (
        word(meaning.subject.form("id"), "subject"),
        word(meaning.verb.form("id"), "verb"),
    )
    thing, stop = word(meaning.object.form("id"), "object"), word("?", "stop")
    if kind == "who":
        return [word("siapa", "wh"), verb, thing, *_place(meaning), stop]
    if kind == "what":
        return [subject, verb, word("apa", "wh"), *_place(meaning), stop]
    return [word("di", "wh"), word("mana", "wh"), subject, verb, thing, stop]


def times(count: int) -> Words:
    """``tiga kali``."""
    return [word(concepts(SHARED, "number")[count].form("id"), "number"), word("kali", "times")]


def how_many_times() -> Words:
    """``berapa kali ?``"""
    return [word("berapa", "wh"), word("kali", "times"), word("?", "stop")]
