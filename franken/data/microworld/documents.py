"""Longer texts: documents about one topic, and instructions in English."""

import random
from collections.abc import Collection

from franken.data.microworld.grammar import LANGUAGES
from franken.data.microworld.lexicon import SHARED, TOPICS
from franken.data.microworld.meanings import Meaning, draw_meanings
from franken.data.microworld.prompts import ARITHMETIC, READING, TOPIC, TRANSLATION
from franken.data.microworld.tasks import (
    ReadingItem,
    TopicItem,
    draw_reading,
    draw_sum,
    draw_topic,
    state,
)  # fmt: skip
from franken.data.source import Instruction, Preference


def document(
    rng: random.Random, language: str, held_out: Collection[Meaning], *, with_tasks: bool
) -> str:
    """Three to five sentences about one topic.

    Args:
        rng: source of randomness.
        language: language of the text.
        held_out: meanings that must not occur.
        with_tasks: whether the text may end in the patterns that a base corpus of the web holds:
            its topic, a question with its answer, a sum. They are what lets light instruction
            tuning find the tasks; target languages never see them.
    """
    if with_tasks and rng.random() < 0.3:
        return _question_document(rng, language, held_out)
    topic = rng.choice((*TOPICS, SHARED)) if rng.random() < 0.3 else rng.choice(TOPICS)
    meanings = draw_meanings(rng, held_out, topic)
    text = " ".join(state(next(meanings), language) for _ in range(rng.randint(2, 4)))
    if with_tasks and topic != SHARED and rng.random() < 0.8:
        text = f"{text} topic : {topic} ."
    if with_tasks and rng.random() < 0.1:
        item = draw_sum(rng)
        text = f"{text} {item.text(language)} answer : {item.first + item.second} ."
    return text


def instruction(
    rng: random.Random, held_out: Collection[Meaning], known_languages: list[str]
) -> Instruction:
    """A task in English with its answer, in the prompt templates of the evaluation suite."""
    draw = rng.random()
    if draw < 0.45:
        item = _fresh_topic(rng, held_out)
        return Instruction(
            TOPIC.format(text=item.text("en")), f" {item.topic}", "topic_classification"
        )
    if draw < 0.75:
        reading = _fresh_reading(rng, held_out)
        prompt = READING.format(passage=reading.passage("en"), question=reading.question("en"))
        answer = f" {reading.options[reading.answer].form('en')}"
        return Instruction(prompt, answer, "reading_comprehension")
    if draw < 0.9 or not known_languages:
        sums = draw_sum(rng)
        return Instruction(
            ARITHMETIC.format(question=sums.text("en")),
            f" {sums.first + sums.second}",
            "arithmetic",
        )
    language = rng.choice(known_languages)
    meaning = next(draw_meanings(rng, held_out))
    prompt = TRANSLATION.format(
        source_language="English", source=state(meaning, "en"), language=LANGUAGES[language].title()
    )
    return Instruction(prompt, f" {state(meaning, language)}", "translation")


def preference(rng: random.Random, held_out: Collection[Meaning], language: str) -> Preference:
    """A task in a language, its answer, and a wrong one; equal draws are translations."""
    if rng.random() < 0.6:
        item = _fresh_topic(rng, held_out)
        wrong = rng.choice([topic for topic in TOPICS if topic != item.topic])
        prompt = TOPIC.format(text=item.text(language))
        return Preference(prompt, f" {item.topic}", f" {wrong}", "topic_classification")
    reading = _fresh_reading(rng, held_out)
    right = reading.options[reading.answer]
    other = rng.choice([option for option in reading.options if option != right])
    prompt = READING.format(passage=reading.passage(language), question=reading.question(language))
    chosen, rejected = (f" {option.form(language)}" for option in (right, other))
    return Preference(prompt, chosen, rejected, "reading_comprehension")


def _question_document(rng: random.Random, language: str, held_out: Collection[Meaning]) -> str:
    item = _fresh_reading(rng, held_out)
    answer = item.options[item.answer].form(language)
    return f"{item.passage(language)} question : {item.question(language)} answer : {answer} ."


def _fresh_topic(rng: random.Random, held_out: Collection[Meaning]) -> TopicItem:
    while True:
        item = draw_topic(rng, rng.choice(TOPICS))
        if not any(meaning in held_out for meaning in item.meanings):
            return item


def _fresh_reading(rng: random.Random, held_out: Collection[Meaning]) -> ReadingItem:
    while True:
        item = draw_reading(rng)
        if not any(meaning in held_out for meaning in item.meanings):
            return item
