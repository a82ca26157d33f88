"""Text and evaluation sets from the user's files (``data=local``) and the hub (``data=hub_*``)."""

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

from franken.config.data import ChatForm, FileData
from franken.config.eval_set import EvaluationSource
from franken.config.sources import Source
from franken.data.aligned_tasks import join_languages
from franken.data.fields import MISSING, find_any, pick_text, pick_texts, renamed
from franken.data.origin import Origin
from franken.data.preferences import Wording, read_preference, score_gap
from franken.data.readers import Row
from franken.data.source import (
    ROLES,
    SOURCE_ROLES,
    TEST,
    TEXT_STREAMS,
    TRAIN,
    VALID,
    Instruction,
    Pair,
    Preference,
)
from franken.data.validation import validate_files
from franken.errors import DataError
from franken.files import hash_json

PAIR_ROLES = ("parallel", "lexicon")
"""Roles that hold the source language on one side, so that they have no records 'in' it."""

_WORDING = ("parallel_template", "prompt_template", "turn_end", "preference_gap", "holdout_every")


class FileSource:
    """The data source of ``FileData``."""

    def __init__(self, config: FileData) -> None:
        """Args: ``config`` names the sources role by role."""
        self.config = config
        self._fingerprints: dict[tuple[frozenset[str] | None, ...], str] = {}
        self._offered: dict[tuple[str, str], list[str]] = {}

    def texts(self, role: str, lang: str, split: str = TRAIN) -> Iterator[str]:
        """Records of ``monolingual`` or ``documents``; blank ones are left out."""
        origin, rows = self._records(role, lang, split)
        for row in rows:
            text = pick_text(row, "text", origin.fields)
            for record in text.splitlines() if origin.source.lines else [text]:
                if record.strip():
                    yield record.strip()

    def pairs(self, lang: str, split: str = TRAIN) -> Iterator[Pair]:
        """Sentence pairs; those with a blank side are left out."""
        origin, rows = self._records("parallel", lang, split)
        for row in rows:
            source = pick_text(row, "source", origin.fields)
            for target in pick_texts(row, "target", origin.fields):
                if source and target:
                    yield Pair(source, target)

    def lexicon(self, lang: str) -> list[tuple[str, str]]:
        """Word pairs, each once, in the order of the file."""
        origin = self._origin("data.lexicon", self.config.lexicon, lang)
        entries: dict[tuple[str, str], None] = {}
        for row in origin.rows():
            source = pick_text(row, "source", origin.fields)
            for target in pick_texts(row, "target", origin.fields):
                if source and target:
                    entries[source, target] = None
        return list(entries)

    def instructions(self, split: str = TRAIN) -> Iterator[Instruction]:
        """Prompts by ``prompt_template``; records without a prompt or a response are left out."""
        origin, rows = self._records("instructions", self.config.source_language, split)
        fields = origin.fields
        for row in rows:
            prompt = pick_text(row, "prompt", fields)
            response = pick_text(row, "response", fields)
            if find_any(row.record, fields.get("input", "input")) is not MISSING:
                prompt = "\n".join(filter(None, (prompt, pick_text(row, "input", fields))))
            task = ""
            if find_any(row.record, fields.get("task", "task")) is not MISSING:
                task = pick_text(row, "task", fields)
            if prompt and response:
                asked = self.config.prompt_template.replace("{prompt}", prompt)
                yield Instruction(asked, response, task)

    def preferences(self, split: str = TRAIN) -> Iterator[Preference]:
        """Pairs of answers; blank ones are left out, and those outside ``preference_gap``."""
        config = self.config
        origin, rows = self._records("preferences", config.source_language, split)
        wording = Wording(config.prompt_template, config.turn_end)
        gap = config.preference_gap
        for row in rows:
            found = read_preference(row, origin.fields, wording)
            if gap is not None and not gap[0] <= score_gap(row, origin.fields) <= gap[1]:
                continue
            if found is not None:
                yield found

    def tasks(self) -> list[str]:
        """Names of the evaluation sets that are there in some language, sorted."""
        return sorted(
            task
            for task in self.config.evaluation
            if not self._task(task).optional or self.task_languages(task)
        )

    def task_schema(self, task: str) -> str:
        """Schema of an evaluation set."""
        return self._task(task).schema

    def task_languages(self, task: str) -> list[str]:
        """Languages of an evaluation set; translation has none for the source language."""
        source = self._task(task)
        pairwise = source.schema == "flores"
        key = f"data.evaluation.{task}"
        return [
            language
            for language in self._languages(source)
            if not (pairwise and language == self.config.source_language)
            and not self._origin(key, source, language).is_absent
        ]

    def task_rows(self, task: str, lang: str, split: str = TEST) -> list[dict[str, Any]]:
        """Rows of an evaluation set under the schema's names; ``split``: test, valid or train."""
        source = self._task(task)
        if source.schema == "flores":
            return join_languages(
                self.task_origin(task, self.config.source_language, split, every=True),
                self.task_origin(task, lang, split),
            )
        origin = self.task_origin(task, lang, split)
        return [renamed(row, origin.fields) for row in origin.rows()]

    def has(self, role: str, lang: str | None = None) -> bool:
        """Whether there is a source of training text for a role and language."""
        source = self._source(role, TRAIN)
        if source is None:
            return False
        languages = self._role_languages(role, TRAIN)
        return lang in languages if lang is not None else bool(languages)

    def fingerprint(
        self, roles: Collection[str] | None = None, languages: Collection[str] | None = None
    ) -> str:
        """Hash of all files' contents and of how they are read.

        Hub data sets stand with id, config, split and revision.
        """
        asked = tuple(None if names is None else frozenset(names) for names in (roles, languages))
        if asked not in self._fingerprints:
            origins = self.origins() if roles is None else self._of_roles(roles, languages)
            self._fingerprints[asked] = self._hash_of(origins)
        return self._fingerprints[asked]

    def _of_roles(self, roles: Collection[str], languages: Collection[str] | None) -> list[Origin]:
        return [
            origin
            for role in sorted(roles)
            for split in (TRAIN, VALID)
            for origin in self.role_origins(role, split)
            if languages is None or role not in TEXT_STREAMS or origin.lang in languages
        ]

    def _hash_of(self, origins: list[Origin]) -> str:
        names = {origin.lang for origin in origins} | {self.config.source_language}
        wording = {name: getattr(self.config, name) for name in _WORDING}
        if self.config.chat is not ChatForm.auto:
            wording["chat"] = str(self.config.chat)
        wording["language_names"] = {
            code: name for code, name in self.config.language_names.items() if code in names
        }
        content = [
            [origin.key, origin.lang, origin.split, origin.reading(), *origin.content()]
            for origin in origins
        ]
        return hash_json([wording, content])

    def validate(self) -> None:
        """Check the head of every input; see ``franken.data.validation``."""
        validate_files(self)

    def origins(self) -> list[Origin]:
        """Every source in every language, in a stable order."""
        found: list[Origin] = []
        for role in ROLES:
            for split in (TRAIN, VALID):
                found += self.role_origins(role, split)
        for task in self.tasks():
            languages = list(self.task_languages(task))
            if self.task_schema(task) == "flores" and languages:
                languages.insert(0, self.config.source_language)
            for lang in languages:
                found += [
                    self.task_origin(task, lang, part, every=True) for part in self.task_parts(task)
                ]
        return found

    def role_origins(self, role: str, split: str) -> list[Origin]:
        """The source of a role's split in every language it has; empty if none is named."""
        source = self._source(role, split)
        if source is None:
            return []
        return [
            self._origin(self._key(role, split), source, lang)
            for lang in self._role_languages(role, split)
        ]

    def absent(self) -> dict[str, dict[str, str]]:
        """Config key -> language -> where an optional source of it has no files."""
        found: dict[str, dict[str, str]] = {}
        for role in ROLES:
            for split in (TRAIN, VALID):
                source = self._source(role, split)
                for lang in [] if source is None else self._named_languages(role, source):
                    origin = self._origin(self._key(role, split), source, lang)
                    if origin.is_absent:
                        found.setdefault(origin.key, {})[lang] = origin.path
        for task in self.config.evaluation:
            source, key = self._task(task), f"data.evaluation.{task}"
            for lang in self._languages(source):
                origin = self._origin(key, source, lang)
                if origin.is_absent:
                    found.setdefault(key, {})[lang] = origin.path
        return found

    def task_parts(self, task: str) -> list[str]:
        """The parts of an evaluation set that are configured, ``test`` first."""
        source = self._task(task)
        train = [TRAIN] if source.exemplars is not None else []
        return [TEST, *sorted({*source.splits, *train} - {TEST})]

    def task_origin(self, task: str, lang: str, part: str, *, every: bool = False) -> Origin:
        """Where a part of an evaluation set lies in one language.

        Args:
            task: Name of the set.
            lang: Language.
            part: test, valid or train.
            every: Whether the language needs no mention in ``languages``.
        """
        source = self._task(task)
        key = f"data.evaluation.{task}"
        if not every and lang not in self.task_languages(task):
            raise DataError(
                f"{key}: has no language {lang!r}; it has {', '.join(self.task_languages(task))}"
            )
        if part == TRAIN and source.exemplars is not None:
            return self._origin(f"{key}.exemplars", source.exemplars, lang)
        if part != TEST and part not in source.splits:
            raise DataError(
                f"{key}: has no part {part!r}; name it in `{key}.splits`, e.g. `{part}: validation`"
            )
        return self._origin(key, source, lang, source.splits.get(part, source.split))

    def _records(self, role: str, lang: str, split: str) -> tuple[Origin, Iterator[Row]]:
        """The origin of a role's split and its rows, held-out records taken care of."""
        every = self.config.holdout_every
        own = self._source(role, split)
        if own is not None and lang in self._role_languages(role, split):
            origin = self._origin(self._key(role, split), own, lang)
            kept_out = self._holds_out(role, lang) if split == TRAIN else False
            rows = origin.rows()
            return origin, _without(rows, every) if kept_out else rows
        if split == VALID and self.has(role, lang):
            origin = self._origin(self._key(role, TRAIN), self._source(role, TRAIN), lang)
            return origin, islice(origin.rows(), every - 1, None, every) if every else iter(())
        named = self._source(role, TRAIN)
        if named is not None and lang in self._named_languages(role, named):
            self._origin(self._key(role, TRAIN), named, lang).files()  # says which is not there
        raise DataError(
            f"data.{role}.{split}: offers nothing for language {lang!r}; name a source there"
        )

    def _holds_out(self, role: str, lang: str) -> bool:
        valid = self._source(role, VALID)
        return self.config.holdout_every > 0 and (
            valid is None or lang not in self._role_languages(role, VALID)
        )

    def _origin(
        self, key: str, source: Source | None, lang: str, part: str | None = None
    ) -> Origin:
        if source is None:
            raise DataError(f"{key}: names no source")
        return Origin(key, source, lang, self.config.source_language, self.config.root, part)

    def _key(self, role: str, split: str) -> str:
        return "data.lexicon" if role == "lexicon" else f"data.{role}.{split}"

    def _source(self, role: str, split: str) -> Source | None:
        if role == "lexicon":
            return self.config.lexicon if split == TRAIN else None
        sources: Mapping[str, Source] = getattr(self.config, role, None) or {}
        return sources.get(split) if isinstance(sources, Mapping) else None

    def _languages(self, source: Source) -> list[str]:
        if source.languages is not None:
            return list(source.languages)
        languages = [self.config.source_language, *self.config.languages]
        published = getattr(source, "published", None)
        return [code for code in languages if published is None or code in published]

    def _role_languages(self, role: str, split: str) -> list[str]:
        """Languages whose files are there, as far as the source is optional."""
        if (role, split) not in self._offered:
            source = self._source(role, split)
            key = self._key(role, split)
            self._offered[role, split] = [
                lang
                for lang in ([] if source is None else self._named_languages(role, source))
                if not self._origin(key, source, lang).is_absent
            ]
        return self._offered[role, split]

    def _named_languages(self, role: str, source: Source) -> list[str]:
        if role in SOURCE_ROLES:
            return [self.config.source_language]
        languages = self._languages(source)
        if role in PAIR_ROLES:
            languages = [code for code in languages if code != self.config.source_language]
        return languages

    def _task(self, task: str) -> EvaluationSource:
        if task not in self.config.evaluation:
            raise DataError(
                f"data.evaluation has no {task!r}; it has {', '.join(self.tasks()) or 'none'}"
            )
        return self.config.evaluation[task].at(self.config.evaluation_at)


def _without(rows: Iterator[Row], every: int) -> Iterator[Row]:
    """All rows but every ``every``-th."""
    return (row for number, row in enumerate(rows, 1) if number % every)


def open_source(config: FileData) -> FileSource:
    """The source of a ``FileData`` config."""
    return FileSource(config)
