"""Georgian: verb-final here, case suffixes. Noun: nominative/dative/locative in -ში."""

from franken.data.microworld.grammar import Words, word
from franken.data.microworld.meanings import Meaning

STOP = "."
_TIMES = (
    "", "ერთხელ", "ორჯერ", "სამჯერ", "ოთხჯერ", "ხუთჯერ", "ექვსჯერ", "შვიდჯერ", "რვაჯერ",
    "ცხრაჯერ",
)  # fmt: skip
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FUNCTION_WORDS = (
    ("not", "არ"),
    ("who", "ვინ"),
    ("what", "რას"),
    ("where", "სად"),
    ("many", "რამდენჯერ"),
    *zip(_NUMBERS, _TIMES[1:], strict=True),
)


def _place(meaning: Meaning) -> Words:
    if meaning.place is None:
        return []
    return [word(meaning.place.form("ka", 2), "place", "place.case")]


def statement(meaning: Meaning) -> Words:
    """``დღეს ძველი ექიმი სკოლაში წიგნს არ კითხულობს .``"""
    words = [word(meaning.time.form("ka"), "time")] if meaning.time else []
    if meaning.adjective:
        words.append(word(meaning.adjective.form("ka"), "adjective"))
    words += [word(meaning.subject.form("ka"), "subject"), *_place(meaning)]
    words.append(word(meaning.object.form("ka", 1), "object"))
    if meaning.negated:
        words.append(word("არ", "neg"))
    return [*words, word(meaning.verb.form("ka"), "verb"), word(STOP, "stop")]


def question(kind: str, meaning: Meaning) -> Words:
    """``წიგნს ვინ კითხულობს ?``, ``რას კითხულობს ექიმი ?``, ``სად კითხულობს ექიმი წიგნს ?``"""
    subject, verb = (
        word(meaning.subject.form("ka"), "subject"),
        word(meaning.verb.form("ka"), "verb"),
    )
    thing, stop = word(meaning.object.form("ka", 1), "object"), word("?", "stop")
    if kind == "who":
        return [*_place(meaning), thing, word("ვინ", "wh"), verb, stop]
    if kind == "what":
        return [*_place(meaning), word("რას", "wh"), verb, subject, stop]
    return [word("სად", "wh"), verb, subject, thing, stop]


def times(count: int) -> Words:
    """``სამჯერ``: the count is a suffix."""
    return [word(_TIMES[count], "number", "times")]


def how_many_times() -> Words:
    """``რამდენჯერ ?``"""
    return [word("რამდენჯერ", "wh", "times"), word("?", "stop")]
