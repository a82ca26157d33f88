"""Hindi: verb-final with postpositions. Noun: direct/gender[/oblique]. Verb and adjective: m/f."""

from franken.data.microworld.grammar import Words, word
from franken.data.microworld.lexicon import SHARED, Concept, concepts
from franken.data.microworld.meanings import Meaning

STOP = "।"
FUNCTION_WORDS = (
    ("in", "में"), ("not", "नहीं"), ("who", "कौन"), ("what", "क्या"), ("where", "कहाँ"),
    ("times", "बार"), ("many", "कितनी"), (".", "।"),
)  # fmt: skip


def _oblique(concept: Concept) -> str:
    forms = concept.all_forms("hi")
    return forms[2] if len(forms) > 2 else forms[0]


def _place(meaning: Meaning) -> Words:
    if meaning.place is None:
        return []
    return [word(_oblique(meaning.place), "place"), word("में", "place.case")]


def _verb(meaning: Meaning) -> Words:
    feminine = meaning.subject.form("hi", 1) == "f"
    return [word(meaning.verb.form("hi", int(feminine)), "verb"), word("है", "verb")]


def statement(meaning: Meaning) -> Words:
    """``आज बूढ़ा डॉक्टर स्कूल में किताब नहीं पढ़ता है ।``"""
    feminine = meaning.subject.form("hi", 1) == "f"
    words = [word(meaning.time.form("hi"), "time")] if meaning.time else []
    if meaning.adjective:
        words.append(word(meaning.adjective.form("hi", int(feminine)), "adjective"))
    words += [word(meaning.subject.form("hi"), "subject"), *_place(meaning)]
    words.append(word(meaning.object.form("hi"), "object"))
    if meaning.negated:
        words.append(word("नहीं", "neg"))
    return [*words, *_verb(meaning), word(STOP, "stop")]


def question(kind: str, meaning: Meaning) -> Words:
    """``किताब कौन पढ़ता है ?``, ``डॉक्टर क्या पढ़ता है ?``, ``डॉक्टर किताब कहाँ पढ़ता है ?``"""
    subject, thing = (
        word(meaning.subject.form("hi"), "subject"),
        word(meaning.object.form("hi"), "object"),
    )
    if kind == "who":  # the asker does not know the gender: masculine agreement
        verb = [word(meaning.verb.form("hi"), "verb"), word("है", "verb")]
        return [*_place(meaning), thing, word("कौन", "wh"), *verb, word("?", "stop")]
    if kind == "what":
        words = [subject, *_place(meaning), word("क्या", "wh")]
    else:
        words = [subject, thing, word("कहाँ", "wh")]
    return [*words, *_verb(meaning), word("?", "stop")]


def times(count: int) -> Words:
    """``तीन बार``."""
    return [word(concepts(SHARED, "number")[count].form("hi"), "number"), word("बार", "times")]


def how_many_times() -> Words:
    """``कितनी बार ?``"""
    return [word("कितनी", "wh"), word("बार", "times"), word("?", "stop")]
