"""Evaluation items of the world, in the schemas of their published counterparts."""

import random
from dataclasses import dataclass, replace
from typing import Any

from franken.data.microworld.grammar import Word, Words, grammar, sentence
from franken.data.microworld.lexicon import SHARED, TOPICS, Concept, concepts
from franken.data.microworld.meanings import Meaning, draw_meaning
from franken.data.microworld.prompts import SIB_NAMES

VERB_FINAL = ("tr", "hi", "ka")
"""Languages whose adverbs of count stand before the object, not at the end."""

UPOS = {
    "subject": "NOUN", "object": "NOUN", "place": "NOUN", "verb": "VERB", "adjective": "ADJ",
    "time": "ADV", "neg": "PART", "stop": "PUNCT",
}  # fmt: skip
"""Role of a word -> its part of speech; articles are ``DET``, marks of case ``ADP``."""


@dataclass(frozen=True)
class TopicItem:
    """One or two sentences of one topic."""

    topic: str
    meanings: tuple[Meaning, ...]

    def text(self, language: str) -> str:
        """The wording in a language."""
        return " ".join(state(meaning, language) for meaning in self.meanings)

    def row(self, index: int, language: str) -> dict[str, Any]:
        """SIB-200."""
        category = SIB_NAMES.get(self.topic, self.topic)
        return {"index_id": index, "category": category, "text": self.text(language)}

    def tagged_row(self, index: int, language: str) -> dict[str, Any]:
        """Universal Dependencies: words and their parts of speech."""
        words = [word for meaning in self.meanings for word in grammar(language).statement(meaning)]
        return {
            "idx": str(index), "tokens": [word.text for word in words],
            "upos": [part_of_speech(word) for word in words],
        }  # fmt: skip


@dataclass(frozen=True)
class ReadingItem:
    """Three sentences and a question about one of them."""

    meanings: tuple[Meaning, ...]
    asked: int
    kind: str
    options: tuple[Concept, ...]
    answer: int

    def passage(self, language: str) -> str:
        """The sentences."""
        return " ".join(state(meaning, language) for meaning in self.meanings)

    def question(self, language: str) -> str:
        """The question."""
        return sentence(grammar(language).question(self.kind, self.meanings[self.asked]))

    def row(self, index: int, language: str) -> dict[str, Any]:
        """Belebele; ``correct_answer_num`` is a string, as published."""
        options = {f"mc_answer{n}": c.form(language) for n, c in enumerate(self.options, 1)}
        return {
            "link": f"microworld/{index}", "question_number": 1,
            "flores_passage": self.passage(language), "question": self.question(language),
            **options, "correct_answer_num": str(self.answer + 1), "dialect": language, "ds": "",
        }  # fmt: skip

    def squad_row(self, index: int, language: str) -> dict[str, Any]:
        """SQuAD; ``answer_start`` is -1 where the passage has the answer in an inflected form."""
        passage, answer = self.passage(language), self.options[self.answer].form(language)
        return {
            "id": str(index), "context": passage, "question": self.question(language),
            "answers": {"text": [answer], "answer_start": [passage.find(answer)]},
        }  # fmt: skip

    def summary_row(self, index: int, language: str) -> dict[str, Any]:
        """XL-Sum: what happens in the first sentence, without where, when and what kind of."""
        core = replace(self.meanings[0], adjective=None, place=None, time=None)
        return {
            "id": str(index), "url": f"microworld/{index}",
            "title": self.meanings[0].subject.form(language), "summary": state(core, language),
            "text": self.passage(language),
        }  # fmt: skip


@dataclass(frozen=True)
class SumItem:
    """Somebody does something ``first`` times and then ``second`` times: how many times?"""

    meaning: Meaning
    first: int
    second: int

    def text(self, language: str) -> str:
        """The word problem."""
        parts = [sentence(_counted(self.meaning, n, language)) for n in (self.first, self.second)]
        return " ".join([*parts, sentence(grammar(language).how_many_times())])

    def row(self, index: int, language: str) -> dict[str, Any]:
        """MGSM."""
        return {
            "question": self.text(language), "answer": None,
            "answer_number": self.first + self.second, "equation_solution": None,
        }  # fmt: skip


def part_of_speech(word: Word) -> str:
    """By the first part of the meaning that a word carries."""
    role, _, kind = word.roles[0].partition(".")
    return {"det": "DET", "case": "ADP"}.get(kind, UPOS[role])


def state(meaning: Meaning, language: str) -> str:
    """A meaning's sentence."""
    return sentence(grammar(language).statement(meaning))


def draw_topic(rng: random.Random, topic: str) -> TopicItem:
    """A text of one or two sentences whose verb and object belong to the topic."""
    count = rng.choice((1, 2))
    return TopicItem(topic, tuple(draw_meaning(rng, topic) for _ in range(count)))


def draw_reading(rng: random.Random) -> ReadingItem:
    """Three sentences of one topic with different subjects, objects and places."""
    topic = rng.choice(TOPICS)
    kind = rng.choice(("who", "what", "where"))
    category = {"who": "person", "what": "object", "where": "place"}[kind]
    meanings: list[Meaning] = []
    while len(meanings) < 3:
        meaning = draw_meaning(rng, topic, plain=True)
        used = {c for f in meanings for c in (f.subject, f.object, f.place, f.verb)}
        if not {meaning.subject, meaning.object, meaning.place, meaning.verb} & used:
            meanings.append(meaning)
    asked = rng.randrange(3)
    answers = [
        {"who": meaning.subject, "what": meaning.object, "where": meaning.place}[kind]
        for meaning in meanings
    ]
    options = [answer for answer in answers if answer is not None]
    pool = [c for t in (topic, SHARED) for c in concepts(t, category) if c not in options]
    options.append(rng.choice(pool))
    right = options[asked]
    rng.shuffle(options)
    return ReadingItem(tuple(meanings), asked, kind, tuple(options), options.index(right))


def draw_sum(rng: random.Random) -> SumItem:
    """An addition of two numbers from 1 to 9 about everyday things."""
    meaning = Meaning(
        SHARED, rng.choice(concepts(SHARED, "person")), rng.choice(concepts(SHARED, "verb")),
        rng.choice(concepts(SHARED, "object")),
    )  # fmt: skip
    return SumItem(meaning, rng.randint(1, 9), rng.randint(1, 9))


def _counted(meaning: Meaning, count: int, language: str) -> Words:
    words = grammar(language).statement(meaning)
    times = grammar(language).times(count)
    if language not in VERB_FINAL:
        return [*words[:-1], *times, words[-1]]
    after = next(i for i, word in enumerate(words) if "subject" in word.roles) + 1
    return [*words[:after], *times, *words[after:]]
