"""Georgian: verb-final here, case suffixes. Noun: nominative/dative/locative in -ში."""

from franken.data.microworld.frames import Frame
from franken.data.microworld.grammar import Words, word

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


def _place(frame: Frame) -> Words:
    if frame.place is None:
        return []
    return [word(frame.place.form("ka", 2), "place", "place.case")]


def statement(frame: Frame) -> Words:
    """``დღეს ძველი ექიმი სკოლაში წიგნს არ კითხულობს .``"""
    words = [word(frame.time.form("ka"), "time")] if frame.time else []
    if frame.adjective:
        words.append(word(frame.adjective.form("ka"), "adjective"))
    words += [word(frame.subject.form("ka"), "subject"), *_place(frame)]
    words.append(word(frame.object.form("ka", 1), "object"))
    if frame.negated:
        words.append(word("არ", "neg"))
    return [*words, word(frame.verb.form("ka"), "verb"), word(STOP, "stop")]


def question(kind: str, frame: Frame) -> Words:
    """``წიგნს ვინ კითხულობს ?``, ``რას კითხულობს ექიმი ?``, ``სად კითხულობს ექიმი წიგნს ?``"""
    subject, verb = word(frame.subject.form("ka"), "subject"), word(frame.verb.form("ka"), "verb")
    thing, stop = word(frame.object.form("ka", 1), "object"), word("?", "stop")
    if kind == "who":
        return [*_place(frame), thing, word("ვინ", "wh"), verb, stop]
    if kind == "what":
        return [*_place(frame), word("რას", "wh"), verb, subject, stop]
    return [word("სად", "wh"), verb, subject, thing, stop]


def times(count: int) -> Words:
    """``სამჯერ``: the count is a suffix."""
    return [word(_TIMES[count], "number", "times")]


def how_many_times() -> Words:
    """``რამდენჯერ ?``"""
    return [word("რამდენჯერ", "wh", "times"), word("?", "stop")]
