"""Russian: cases without articles. Noun: nominative/gender/accusative/prepositional."""

from franken.data.microworld.frames import Frame
from franken.data.microworld.grammar import Words, word
from franken.data.microworld.lexicon import SHARED, concepts

STOP = "."
FUNCTION_WORDS = (
    ("in", "в"), ("not", "не"), ("who", "кто"), ("what", "что"), ("where", "где"),
    ("times", "раз"), ("times", "раза"), ("many", "сколько"),
)  # fmt: skip


def _place(frame: Frame) -> Words:
    if frame.place is None:
        return []
    return [word("в", "place.case"), word(frame.place.form("ru", 3), "place")]


def statement(frame: Frame) -> Words:
    """``сегодня старый врач не читает книгу в школе .``"""
    words = [word(frame.time.form("ru"), "time")] if frame.time else []
    if frame.adjective:
        feminine = frame.subject.form("ru", 1) == "f"
        words.append(word(frame.adjective.form("ru", int(feminine)), "adjective"))
    words.append(word(frame.subject.form("ru"), "subject"))
    if frame.negated:
        words.append(word("не", "neg"))
    words += [word(frame.verb.form("ru"), "verb"), word(frame.object.form("ru", 2), "object")]
    return [*words, *_place(frame), word(STOP, "stop")]


def question(kind: str, frame: Frame) -> Words:
    """``кто читает книгу ?``, ``что читает врач ?``, ``где врач читает книгу ?``"""
    subject, verb = word(frame.subject.form("ru"), "subject"), word(frame.verb.form("ru"), "verb")
    thing, stop = word(frame.object.form("ru", 2), "object"), word("?", "stop")
    if kind == "who":
        return [word("кто", "wh"), verb, thing, *_place(frame), stop]
    if kind == "what":
        return [word("что", "wh"), verb, subject, *_place(frame), stop]
    return [word("где", "wh"), subject, verb, thing, stop]


def times(count: int) -> Words:
    """``три раза``, ``пять раз``."""
    number = concepts(SHARED, "number")[count].form("ru")
    return [word(number, "number"), word("раза" if count in (2, 3, 4) else "раз", "times")]


def how_many_times() -> Words:
    """``сколько раз ?``"""
    return [word("сколько", "wh"), word("раз", "times"), word("?", "stop")]
