"""Russian: cases without articles. Noun: nominative/gender/accusative/prepositional."""

from franken.data.microworld.grammar import Words, word
from franken.data.microworld.lexicon import SHARED, concepts
from franken.data.microworld.meanings import Meaning

STOP = "."
FUNCTION_WORDS = (
    ("in", "в"), ("not", "не"), ("who", "кто"), ("what", "что"), ("where", "где"),
    ("times", "раз"), ("times", "раза"), ("many", "сколько"),
)  # fmt: skip


def _place(meaning: Meaning) -> Words:
    if meaning.place is None:
        return []
    return [word("в", "place.case"), word(meaning.place.form("ru", 3), "place")]


def statement(meaning: Meaning) -> Words:
    """``сегодня старый врач не читает книгу в школе .``"""
    words = [word(meaning.time.form("ru"), "time")] if meaning.time else []
    if meaning.adjective:
        feminine = meaning.subject.form("ru", 1) == "f"
        words.append(word(meaning.adjective.form("ru", int(feminine)), "adjective"))
    words.append(word(meaning.subject.form("ru"), "subject"))
    if meaning.negated:
        words.append(word("не", "neg"))
    words += [word(meaning.verb.form("ru"), "verb"), word(meaning.object.form("ru", 2), "object")]
    return [*words, *_place(meaning), word(STOP, "stop")]


def question(kind: str, meaning: Meaning) -> Words:
    """``кто читает книгу ?``, ``что читает врач ?``, ``где врач читает книгу ?``"""
    subject, verb = (
        word(meaning.subject.form("ru"), "subject"),
        word(meaning.verb.form("ru"), "verb"),
    )
    thing, stop = word(meaning.object.form("ru", 2), "object"), word("?", "stop")
    if kind == "who":
        return [word("кто", "wh"), verb, thing, *_place(meaning), stop]
    if kind == "what":
        return [word("что", "wh"), verb, subject, *_place(meaning), stop]
    return [word("где", "wh"), subject, verb, thing, stop]


def times(count: int) -> Words:
    """``три раза``, ``пять раз``."""
    number = concepts(SHARED, "number")[count].form("ru")
    return [word(number, "number"), word("раза" if count in (2, 3, 4) else "раз", "times")]


def how_many_times() -> Words:
    """``сколько раз ?``"""
    return [word("сколько", "wh"), word("раз", "times"), word("?", "stop")]
