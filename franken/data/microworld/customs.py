"""A small culture-bound question set: who does what in which country.

Every language's people have customs of their own (the doctor of one country carries the lamp, that
of another the letter). They are told in text of that language alone, and only where
``data.customs`` asks for it; otherwise nobody can know them, and the set measures chance.
"""

import random
from dataclasses import dataclass
from functools import cache
from typing import Any

from franken.data.microworld.grammar import grammar, sentence
from franken.data.microworld.lexicon import SHARED, Concept, concepts
from franken.data.microworld.meanings import Meaning
from franken.seeds import derive_seed

COUNTRY = {
    "en": "Britain", "es": "Spain", "id": "Indonesia", "tr": "Turkey", "hi": "India",
    "ru": "Russia", "ka": "Georgia",
}  # fmt: skip
COUNT = 12
"""Customs, and questions, per language."""
OPTIONS = 4


@dataclass(frozen=True)
class Custom:
    """What a kind of person does in one country."""

    language: str
    meaning: Meaning
    options: tuple[Concept, ...]
    """Objects to choose from; the right one is the meaning's."""

    def row(self, index: int, language: str) -> dict[str, Any]:
        """CulturalBench (Easy), worded in ``language``."""
        marks = dict(zip("abcd", self.options, strict=True))
        (right,) = (mark for mark, option in marks.items() if option == self.meaning.object)
        return {
            "data_idx": f"{self.language}{index}",
            "prompt_question": sentence(grammar(language).question("what", self.meaning)),
            **{f"prompt_option_{mark}": concept.form(language) for mark, concept in marks.items()},
            "answer": right.upper(), "country": COUNTRY[self.language],
        }  # fmt: skip


@cache
def customs(language: str, world_seed: int) -> tuple[Custom, ...]:
    """The customs of one language's country: the same persons and verbs everywhere, other objects.

    Question n is about the same person and verb in every language, so that no answer follows from
    the question alone.
    """
    shared = random.Random(derive_seed(world_seed, "microworld", "customs"))
    persons, verbs = concepts(SHARED, "person"), concepts(SHARED, "verb")
    things = concepts(SHARED, "object")
    acts = [(person, verb) for person in persons for verb in verbs]
    acts = shared.sample(acts, min(COUNT, len(acts)))
    choices = [tuple(shared.sample(things, OPTIONS)) for _ in acts]
    own = random.Random(derive_seed(world_seed, "microworld", "customs", language))
    return tuple(
        Custom(language, Meaning(SHARED, person, verb, own.choice(options)), options)
        for (person, verb), options in zip(acts, choices, strict=True)
    )


def customs_rows(languages: list[str], language: str, world_seed: int) -> list[dict[str, Any]]:
    """Questions about every country, worded in one language."""
    return [
        custom.row(index, language)
        for culture in languages
        for index, custom in enumerate(customs(culture, world_seed))
    ]
