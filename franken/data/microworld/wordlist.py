"""The bilingual lexicon that a run may use: base forms, and the forms that the grammar makes."""

import random

from franken.data.microworld.grammar import grammar
from franken.data.microworld.lexicon import Concept, all_concepts
from franken.seeds import derive_seed

_GENDERS = {"m", "f", "n"}


def word_pairs(language: str, *, forms: bool, coverage: float, seed: int) -> list[tuple[str, str]]:
    """Pairs (English word, word of ``language``), function words first.

    Args:
        language: the target language.
        forms: also list inflected forms, each against the English base form.
        coverage: share of the concepts that are listed, drawn by ``seed``.
        seed: the world's seed.
    """
    listed = list(all_concepts())
    if coverage < 1.0:
        rng = random.Random(derive_seed(seed, "lexicon", language))
        listed = rng.sample(listed, round(coverage * len(listed)))
    pairs = list(grammar(language).FUNCTION_WORDS)
    for concept in listed:
        for form in _listed_forms(concept, language) if forms else [concept.form(language)]:
            pairs.append((concept.name, form))
    return list(dict.fromkeys(pairs))


def noun_pairs(language: str) -> list[tuple[str, str]]:
    """Pairs (English noun, a form of the noun of ``language``): persons, things, places."""
    nouns = (c for c in all_concepts() if c.category in ("person", "object", "place"))
    return [(noun.name, form) for noun in nouns for form in _listed_forms(noun, language)]


def _listed_forms(concept: Concept, language: str) -> list[str]:
    return [form for form in concept.all_forms(language) if form not in _GENDERS]
