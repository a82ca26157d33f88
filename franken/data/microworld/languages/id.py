"""Indonesian: English word order, no articles, no inflection; adjective after the noun."""

from franken.data.microworld.frames import Frame
from franken.data.microworld.grammar import Words, word
from franken.data.microworld.lexicon import SHARED, concepts

STOP = "."
FUNCTION_WORDS = (
    ("in", "di"), ("not", "tidak"), ("who", "siapa"), ("what", "apa"), ("where", "mana"),
    ("times", "kali"), ("many", "berapa"),
)  # fmt: skip


def _place(frame: Frame) -> Words:
    if frame.place is None:
        return []
    return [word("di", "place.case"), word(frame.place.form("id"), "place")]


def statement(frame: Frame) -> Words:
    """``dokter tua tidak membaca buku di sekolah sekarang .``"""
    words = [word(frame.subject.form("id"), "subject")]
    if frame.adjective:
        words.append(word(frame.adjective.form("id"), "adjective"))
    if frame.negated:
        words.append(word("tidak", "neg"))
    words += [word(frame.verb.form("id"), "verb"), word(frame.object.form("id"), "object")]
    words += _place(frame)
    if frame.time:
        words.append(word(frame.time.form("id"), "time"))
    return [*words, word(STOP, "stop")]


def question(kind: str, frame: Frame) -> Words:
    """``siapa membaca buku ?``, ``dokter membaca apa ?``, ``di mana dokter membaca buku ?``"""
    subject, verb = word(frame.subject.form("id"), "subject"), word(frame.verb.form("id"), "verb")
    thing, stop = word(frame.object.form("id"), "object"), word("?", "stop")
    if kind == "who":
        return [word("siapa", "wh"), verb, thing, *_place(frame), stop]
    if kind == "what":
        return [subject, verb, word("apa", "wh"), *_place(frame), stop]
    return [word("di", "wh"), word("mana", "wh"), subject, verb, thing, stop]


def times(count: int) -> Words:
    """``tiga kali``."""
    return [word(concepts(SHARED, "number")[count].form("id"), "number"), word("kali", "times")]


def how_many_times() -> Words:
    """``berapa kali ?``"""
    return [word("berapa", "wh"), word("kali", "times"), word("?", "stop")]
