"""Hindi: verb-final with postpositions. Noun: direct/gender[/oblique]. Verb and adjective: m/f."""

from franken.data.microworld.frames import Frame
from franken.data.microworld.grammar import Words, word
from franken.data.microworld.lexicon import SHARED, Concept, concepts

STOP = "।"
FUNCTION_WORDS = (
    ("in", "में"), ("not", "नहीं"), ("who", "कौन"), ("what", "क्या"), ("where", "कहाँ"),
    ("times", "बार"), ("many", "कितनी"), (".", "।"),
)  # fmt: skip


def _oblique(concept: Concept) -> str:
    forms = concept.all_forms("hi")
    return forms[2] if len(forms) > 2 else forms[0]


def _place(frame: Frame) -> Words:
    if frame.place is None:
        return []
    return [word(_oblique(frame.place), "place"), word("में", "place.case")]


def _verb(frame: Frame) -> Words:
    feminine = frame.subject.form("hi", 1) == "f"
    return [word(frame.verb.form("hi", int(feminine)), "verb"), word("है", "verb")]


def statement(frame: Frame) -> Words:
    """``आज बूढ़ा डॉक्टर स्कूल में किताब नहीं पढ़ता है ।``"""
    feminine = frame.subject.form("hi", 1) == "f"
    words = [word(frame.time.form("hi"), "time")] if frame.time else []
    if frame.adjective:
        words.append(word(frame.adjective.form("hi", int(feminine)), "adjective"))
    words += [word(frame.subject.form("hi"), "subject"), *_place(frame)]
    words.append(word(frame.object.form("hi"), "object"))
    if frame.negated:
        words.append(word("नहीं", "neg"))
    return [*words, *_verb(frame), word(STOP, "stop")]


def question(kind: str, frame: Frame) -> Words:
    """``किताब कौन पढ़ता है ?``, ``डॉक्टर क्या पढ़ता है ?``, ``डॉक्टर किताब कहाँ पढ़ता है ?``"""
    subject, thing = (
        word(frame.subject.form("hi"), "subject"),
        word(frame.object.form("hi"), "object"),
    )
    if kind == "who":  # the asker does not know the gender: masculine agreement
        verb = [word(frame.verb.form("hi"), "verb"), word("है", "verb")]
        return [*_place(frame), thing, word("कौन", "wh"), *verb, word("?", "stop")]
    if kind == "what":
        words = [subject, *_place(frame), word("क्या", "wh")]
    else:
        words = [subject, thing, word("कहाँ", "wh")]
    return [*words, *_verb(frame), word("?", "stop")]


def times(count: int) -> Words:
    """``तीन बार``."""
    return [word(concepts(SHARED, "number")[count].form("hi"), "number"), word("बार", "times")]


def how_many_times() -> Words:
    """``कितनी बार ?``"""
    return [word("कितनी", "wh"), word("बार", "times"), word("?", "stop")]
