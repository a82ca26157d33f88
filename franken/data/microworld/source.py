"""The world as a data source: every role, split and task, drawn anew from the seed at each call."""

import random
from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

from franken.config.data import DataConfig, MicroworldData
from franken.data.microworld.customs import customs, customs_rows
from franken.data.microworld.documents import document, instruction, preference
from franken.data.microworld.grammar import LANGUAGES, grammar, links, sentence
from franken.data.microworld.lexicon import TOPICS
from franken.data.microworld.meanings import Meaning, draw_meanings
from franken.data.microworld.memo import TextMemo
from franken.data.microworld.tasks import draw_reading, draw_sum, draw_topic, state
from franken.data.microworld.wordlist import noun_pairs, word_pairs
from franken.data.source import Instruction, Pair, Preference
from franken.errors import DataError
from franken.files import hash_json
from franken.seeds import derive_seed

GENERATOR_VERSION = 1
"""Raised when the same seed gives other text."""

SCHEMAS = {
    "topic_classification": "sib200",
    "reading_comprehension": "belebele",
    "translation": "flores",
    "arithmetic": "mgsm",
    "customs": "culturalbench",
    "question_answering": "xquad",
    "summarisation": "xlsum",
    "part_of_speech": "tagged",
}
"""Task -> schema of its rows."""

_SPLIT_SHARE = {"train": 1.0, "valid": 0.05, "validation": 0.25, "test": 1.0}
_SIZES = ("world_seed", "sentences", "documents", "parallel", "instructions", "evaluation",
          "lexicon_coverage", "lexicon_forms")  # fmt: skip


_MEMO = TextMemo()


class Microworld:
    """Deterministic by ``world_seed``; memory is bounded apart from the evaluation items."""

    def __init__(self, config: MicroworldData) -> None:
        """Nothing is generated yet."""
        self.config = config

    def fingerprint(
        self, roles: Collection[str] | None = None, languages: Collection[str] | None = None
    ) -> str:
        """Hash of the generator's version and of every setting that shapes the text.

        Which roles and languages a run uses is not part of it: a language's text does not depend on
        the others, so adding one leaves the rest of a grid cached.
        """
        config = self.config
        settings = {name: getattr(config, name) for name in _SIZES}
        if config.customs:
            settings["customs"] = config.customs
        # of the preferences alone: no text and no evaluation set depends on it
        if config.preference_languages and "preferences" in (roles or ()):
            settings["preference_languages"] = config.preference_languages
        names = {code: config.language_names.get(code, code) for code in LANGUAGES}
        if names != {code: language.title() for code, language in LANGUAGES.items()}:
            settings["language_names"] = names
        if config.parallel_template != DataConfig.parallel_template:
            settings["parallel_template"] = config.parallel_template
        return hash_json(["microworld", GENERATOR_VERSION, settings])

    def validate(self) -> None:
        """Check that the world speaks the languages asked for.

        Raises:
            DataError: naming the unknown ones and those that there are.
        """
        asked = [
            self.config.source_language, *self.config.languages, *self.config.known_languages,
            *self.config.preference_languages,
            *(code for mix in self.config.mixtures.values() for code in mix.languages or []),
        ]  # fmt: skip
        unknown = [code for code in dict.fromkeys(asked) if code not in LANGUAGES]
        if unknown:
            raise DataError(
                f"data.languages: the microworld does not speak {', '.join(unknown)}; it speaks "
                f"{', '.join(LANGUAGES)}. For other languages use data=local"
            )
        if self.config.source_language != "en":
            raise DataError("data.source_language: the microworld's tasks are in English ('en')")

    def has(self, role: str, lang: str | None = None) -> bool:
        """Every role in every language; instructions in English only."""
        if lang is not None and lang not in LANGUAGES:
            return False
        if role == "instructions":
            return lang in (None, self.config.source_language)
        if role == "preferences":
            return bool(self.config.preference_languages)
        if role in ("parallel", "lexicon"):
            return lang != self.config.source_language
        return role in ("monolingual", "documents")

    def texts(self, role: str, lang: str, split: str = "train") -> Iterator[str]:
        """Sentences (``monolingual``) or documents; only known languages see task patterns."""
        if role == "monolingual":
            size, draw = self.config.sentences, self._sentences
        elif role == "documents":
            size, draw = self.config.documents, self._documents
        else:
            raise DataError(f"{role!r} is no text role; valid: monolingual, documents")
        key = (self.fingerprint(), role, lang, split, self._is_known(lang))
        return _MEMO.read(key, self._count(size, split), lambda: draw(lang, split))

    def _is_known(self, lang: str) -> bool:
        return lang in (self.config.source_language, *self.config.known_languages)

    def _sentences(self, lang: str, split: str) -> Iterator[str]:
        meanings = draw_meanings(self._rng("monolingual", lang, split), self._held_out)
        for _ in range(self._count(self.config.sentences, split)):
            yield state(next(meanings), lang)

    def _documents(self, lang: str, split: str) -> Iterator[str]:
        rng = self._rng("documents", lang, split)
        for _ in range(self._count(self.config.documents, split)):
            yield document(rng, lang, self._held_out, with_tasks=self._is_known(lang))
        for custom in customs(lang, self.config.world_seed) * self.config.customs:
            yield state(custom.meaning, lang)

    def pairs(self, lang: str, split: str = "train") -> Iterator[Pair]:
        """Sentence pairs with English, with the gold alignment of their words."""
        source = self.config.source_language
        meanings = draw_meanings(self._rng("parallel", lang, split), self._held_out)
        for _ in range(self._count(self.config.parallel, split)):
            meaning = next(meanings)
            left, right = (grammar(code).statement(meaning) for code in (source, lang))
            yield Pair(sentence(left), sentence(right), links(left, right))

    def lexicon(self, lang: str) -> list[tuple[str, str]]:
        """(English word, word), for the share of concepts that ``lexicon_coverage`` asks for."""
        return word_pairs(
            lang, forms=self.config.lexicon_forms, coverage=self.config.lexicon_coverage,
            seed=self.config.world_seed,
        )  # fmt: skip

    def entities(self, lang: str) -> list[tuple[str, str]]:
        """(English name, form) of what there is in the world: its nouns."""
        return noun_pairs(lang)

    def instructions(self, split: str = "train") -> Iterator[Instruction]:
        """English instructions: topics, reading, sums, and translation into known languages."""
        rng = self._rng("instructions", self.config.source_language, split)
        known = [code for code in self.config.known_languages if code in LANGUAGES]
        for _ in range(self._count(self.config.instructions, split)):
            yield instruction(rng, self._held_out, known)

    def preferences(self, split: str = "train") -> Iterator[Preference]:
        """Right answers against wrong ones, in ``preference_languages`` by turns.

        Raises:
            DataError: where no language is named.
        """
        languages = self.config.preference_languages
        if not languages:
            raise DataError(
                "data=microworld holds no preferences: name data.preference_languages, sample "
                "answers and rank them (recipe=graft has the steps), or name a source "
                "data.preferences of data=local"
            )
        rng = self._rng("preferences", self.config.source_language, split)
        count = self._count(self.config.instructions, split)
        return (
            preference(rng, self._held_out, languages[at % len(languages)]) for at in range(count)
        )

    def tasks(self) -> list[str]:
        """Names of the evaluation sets."""
        return sorted(SCHEMAS)

    def task_schema(self, task: str) -> str:
        """Schema of a set."""
        return SCHEMAS[task]

    def task_languages(self, task: str) -> list[str]:
        """Languages of a set; translation goes from the source language into the others."""
        source = [] if task == "translation" else [self.config.source_language]
        return [*source, *self.config.languages]

    def task_parts(self, task: str) -> list[str]:
        """Every set has all parts."""
        return list(_SPLIT_SHARE)

    def task_rows(self, task: str, lang: str, split: str = "test") -> list[dict[str, Any]]:
        """Rows in the schema of the published set; the same meanings in every language.

        Raises:
            DataError: for an unknown task or split.
        """
        if task not in SCHEMAS or split not in _SPLIT_SHARE:
            raise DataError(
                f"the microworld has no task {task!r} with split {split!r}; tasks: "
                f"{', '.join(SCHEMAS)}; splits: {', '.join(_SPLIT_SHARE)}"
            )
        if task == "customs":
            cultures = [self.config.source_language, *self.config.languages]
            return customs_rows(cultures, lang, self.config.world_seed)
        if task == "translation":
            source = self.config.source_language
            return [
                {
                    "id": i,
                    f"sentence_{source}": state(f, source),
                    f"sentence_{lang}": state(f, lang),
                }
                for i, f in enumerate(self._translation_meanings(split))
            ]
        if task in ("question_answering", "summarisation"):  # of the reading items
            readings = self._items("reading_comprehension", split)
            form = "squad_row" if task == "question_answering" else "summary_row"
            return [getattr(item, form)(i, lang) for i, item in enumerate(readings)]
        if task == "part_of_speech":  # of the topics' items
            topics = self._items("topic_classification", split)
            return [item.tagged_row(i, lang) for i, item in enumerate(topics)]
        return [item.row(i, lang) for i, item in enumerate(self._items(task, split))]

    def _items(self, task: str, split: str) -> list[Any]:
        rng = self._rng(task, "", split)
        count = self._count(self.config.evaluation, split)
        if task == "topic_classification":
            topics = [TOPICS[i % len(TOPICS)] for i in range(count)]
            rng.shuffle(topics)
            return [draw_topic(rng, topic) for topic in topics]
        draw = draw_reading if task == "reading_comprehension" else draw_sum
        return [draw(rng) for _ in range(count)]

    def _translation_meanings(self, split: str) -> list[Meaning]:
        meanings = draw_meanings(self._rng("translation", "", split), frozenset())
        return [next(meanings) for _ in range(self._count(self.config.evaluation, split))]

    @cached_property
    def _held_out(self) -> frozenset[Meaning]:
        """Meanings of all evaluation items: no training text in any language holds one."""
        found: set[Meaning] = set()
        for split in ("validation", "test"):
            found.update(self._translation_meanings(split))
            for task in ("topic_classification", "reading_comprehension"):
                found.update(
                    meaning for item in self._items(task, split) for meaning in item.meanings
                )
        return frozenset(found)

    def _count(self, whole: int, split: str) -> int:
        return max(1, round(whole * _SPLIT_SHARE[split]))

    def _rng(self, *names: str) -> random.Random:
        return random.Random(derive_seed(self.config.world_seed, "microworld", *names))
