"""Meanings of sentences: who does what, where and when.

A meaning has one wording per language, so translations are exact and evaluation items are parallel.
"""

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from franken.data.microworld.lexicon import SHARED, TOPICS, Concept, concepts


@dataclass(frozen=True)
class Meaning:
    """The meaning of one declarative sentence."""

    topic: str
    subject: Concept
    verb: Concept
    object: Concept
    adjective: Concept | None = None
    """Describes the subject."""
    place: Concept | None = None
    time: Concept | None = None
    negated: bool = False


def draw_meaning(rng: random.Random, topic: str, *, plain: bool = False) -> Meaning:
    """A random meaning of a topic (or ``shared``).

    Args:
        rng: source of randomness.
        topic: a topic name; its verb and object come from that topic.
        plain: with a place, without negation: what reading comprehension asks about.
    """
    own_person = topic != SHARED and rng.random() < 0.5
    subject = rng.choice(concepts(topic if own_person else SHARED, "person"))
    own_verb = topic != SHARED and rng.random() < 0.75
    verb = rng.choice(concepts(topic if own_verb else SHARED, "verb"))
    things = rng.choice(concepts(topic, "object"))
    place = None
    if plain or rng.random() < 0.6:
        own_place = topic != SHARED and rng.random() < 0.75
        place = rng.choice(concepts(topic if own_place else SHARED, "place"))
    adjective = rng.choice(concepts(SHARED, "adjective")) if rng.random() < 0.3 else None
    time = rng.choice(concepts(SHARED, "time")) if rng.random() < 0.3 else None
    negated = not plain and rng.random() < 0.1
    return Meaning(topic, subject, verb, things, adjective, place, time, negated)


def draw_meanings(
    rng: random.Random, forbidden: Collection[Meaning], topic: str | None = None
) -> Iterator[Meaning]:
    """Endless meanings outside ``forbidden``; of one topic, or of all and some shared ones."""
    while True:
        chosen = topic or (SHARED if rng.random() < 0.2 else rng.choice(TOPICS))
        meaning = draw_meaning(rng, chosen)
        if meaning not in forbidden:
            yield meaning
