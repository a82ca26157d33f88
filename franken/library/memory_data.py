"""Text in memory as a data source, for what reads data by role: learners and evaluation."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from franken.config.data import DataConfig, Mixture
from franken.data.source import TEST, TRAIN, Instruction, Pair, Preference
from franken.errors import DataError
from franken.files import hash_json
from franken.library.given import Given


class MemoryData:
    """Monolingual text, sentence pairs and evaluation sets that a caller hands over.

    Args:
        given: texts, pairs and lexicons by language.
        split: where the texts and pairs belong: ``train`` for learning, ``valid`` for scoring.
        sets: evaluation set -> its schema, and the rows of each language.
    """

    def __init__(
        self,
        given: Given,
        *,
        split: str = TRAIN,
        sets: Mapping[str, tuple[str, Mapping[str, list[dict[str, Any]]]]] | None = None,
    ) -> None:
        named = [x for _, rows in (sets or {}).values() for x in rows]
        languages = [*given.texts, *given.pairs, *given.lexicons, *named]
        targets = [x for x in dict.fromkeys(languages) if x != given.source_language]
        mixture = Mixture({"monolingual": 1.0}, languages=list(given.texts))
        self.config = DataConfig("memory", given.source_language, targets, {"text": mixture})
        self._given, self._split, self._sets = given, split, dict(sets or {})

    def fingerprint(
        self, roles: Collection[str] | None = None, languages: Collection[str] | None = None
    ) -> str:
        """Hash of the text itself."""
        texts = {key: list(lines()) for key, lines in self._given.texts.items()}
        return hash_json([texts, self._given.pairs, self._given.lexicons, self._split])

    def texts(self, role: str, lang: str, split: str = TRAIN) -> Iterator[str]:
        """Lines of a language."""
        if self.has(role, lang) and split == self._split:
            yield from self._given.texts[lang]()

    def pairs(self, lang: str, split: str = TRAIN) -> Iterator[Pair]:
        """Sentence pairs of a language."""
        yield from self._given.pairs.get(lang, []) if split == self._split else []

    def lexicon(self, lang: str) -> list[tuple[str, str]]:
        """Word pairs of a language."""
        return self._given.lexicons.get(lang, [])

    def instructions(self, split: str = TRAIN) -> Iterator[Instruction]:
        """None."""
        return iter(())

    def preferences(self, split: str = TRAIN) -> Iterator[Preference]:
        """None."""
        return iter(())

    def tasks(self) -> list[str]:
        """Names of the evaluation sets, sorted."""
        return sorted(self._sets)

    def task_schema(self, task: str) -> str:
        """Schema of a set."""
        return self._sets[task][0]

    def task_languages(self, task: str) -> list[str]:
        """Languages of a set."""
        return list(self._sets[task][1])

    def task_parts(self, task: str) -> list[str]:
        """The part ``test`` alone."""
        return [TEST]

    def task_rows(self, task: str, lang: str, split: str = TEST) -> list[dict[str, Any]]:
        """Rows of a set; all of them are of the part ``test``."""
        if split != TEST or lang not in self._sets[task][1]:
            raise DataError(f"data in memory holds no {split} part of {task!r} in {lang!r}")
        return list(self._sets[task][1][lang])

    def has(self, role: str, lang: str | None = None) -> bool:
        """Whether there is something of a role."""
        parts: dict[str, Collection[str]] = {
            "monolingual": self._given.texts,
            "parallel": self._given.pairs,
            "lexicon": self._given.lexicons,
        }
        if role in self._sets:
            return lang is None or lang in self._sets[role][1]
        held = parts.get(role, ())
        return bool(held) if lang is None else lang in held

    def validate(self) -> None:
        """Nothing to look at before work starts."""
