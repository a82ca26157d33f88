"""What an evaluation returns, and what the tasks share while they are run."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from franken.config.eval_suite import LimitTakes, TaskConfig
from franken.data.source import DataSource
from franken.errors import DataError
from franken.eval_suite.encoding import Encoder
from franken.eval_suite.languages import language_name
from franken.eval_suite.readout import Readout

log = logging.getLogger(__name__)

Item = dict[str, Any]


@dataclass(frozen=True)
class Score:
    """One number of one task in one language.

    ``acc*`` metrics are fractions in 0..1. ``stderr`` is ``None`` where no spread is defined (one
    unit, or a quantity that is no mean). ``extra`` helps to read the number: ``lang_role`` (one of
    ``source``, ``target``, ``other``), ``chance``, sacrebleu's ``signature``, ``truncated``.
    """

    task: str
    lang: str
    metric: str
    value: float
    n: int
    stderr: float | None
    extra: dict[str, Any] = field(default_factory=dict)

    def as_record(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """A record of ``results.jsonl``; ``identity`` gives experiment, recipe, model, ..., key."""
        own = {name: getattr(self, name) for name in ("task", "lang", "metric", "value", "n")}
        return {**self.extra, **identity, **own, "stderr": self.stderr}


@dataclass
class SuiteResult:
    """Scores and per-item outputs of one model.

    ``skipped`` lists languages of a task that were not scored: ``task``, ``lang``, ``reason``.
    """

    scores: list[Score] = field(default_factory=list)
    items: dict[str, list[Item]] = field(default_factory=dict)
    skipped: list[dict[str, str]] = field(default_factory=list)

    def records(self, identity: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All scores as records of ``results.jsonl``."""
        return [score.as_record(identity) for score in self.scores]


def some_of(rows: list[Any], limit: int | None, takes: LimitTakes) -> list[Any]:
    """At most ``limit`` rows: the first, or evenly spread ones in their order."""
    if limit is None or limit >= len(rows):
        return rows
    if takes is LimitTakes.first:
        return rows[:limit]
    return [rows[i * len(rows) // limit] for i in range(limit)]


@dataclass
class TaskRun:
    """One task under evaluation: everything a task module needs."""

    name: str
    config: TaskConfig
    data: DataSource
    encoder: Encoder
    readout: Readout
    batch_tokens: int
    seed: int
    result: SuiteResult
    advance: Callable[[str, int, int], None] = lambda label, done, total: None
    limit_takes: LimitTakes = LimitTakes.spread

    @property
    def source_language(self) -> str:
        """The language that the base model knows."""
        return self.data.config.source_language

    def name_of(self, lang: str) -> str:
        """A language's name in prompts: as the data option says, else in English."""
        return self.data.config.language_names.get(lang) or language_name(lang)

    def language_fields(self, lang: str) -> dict[str, str]:
        """Fields that every template may use: names and codes of both languages."""
        return {
            "lang": lang,
            "language": self.name_of(lang),
            "source_lang": self.source_language,
            "source_language": self.name_of(self.source_language),
        }

    def languages(
        self, available: Callable[[str], bool], *, targets_only: bool = False
    ) -> list[str]:
        """Languages to score; those that the data lack are skipped with a warning."""
        wanted = self.config.languages
        if wanted is None:
            wanted = [
                *([] if targets_only else [self.source_language]),
                *self.data.config.languages,
            ]
        kept = []
        for lang in wanted:
            if available(lang):
                kept.append(lang)
            else:
                self.skip(lang, f"{self.config.source!r} has nothing in this language")
        return kept

    def skip(self, lang: str, reason: str) -> None:
        """Leave a language out, visibly."""
        log.warning("task %s: %s skipped: %s", self.name, lang, reason)
        self.result.skipped.append({"task": self.name, "lang": lang, "reason": reason})

    def add(
        self, lang: str, metric: str, value: float, n: int, stderr: float | None, **extra: Any
    ) -> None:
        """Note a score."""
        role = "target" if lang in self.data.config.languages else "other"
        extra["lang_role"] = "source" if lang == self.source_language else role
        self.result.scores.append(Score(self.name, lang, metric, value, n, stderr, extra))

    def keep(self, items: list[Item]) -> None:
        """Store per-item outputs."""
        self.result.items.setdefault(self.name, []).extend(items)

    def progress(self, lang: str, total: int) -> Callable[[int], None]:
        """A counter for one language of this task."""
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self.advance(f"{self.name} {lang}", done, total)

        return advance

    def read(self, lang: str, split: str = "test", *, limit: int | None = None) -> list[Any]:
        """Items of the task's evaluation set, at most ``limit``.

        Raises:
            DataError: when there are none.
        """
        from franken.data.schemas import read_items

        rows = some_of(
            self.data.task_rows(self.config.source, lang, split), limit, self.limit_takes
        )
        items = read_items(
            self.data.task_schema(self.config.source),
            rows,
            lang=lang,
            source_lang=self.source_language,
        )
        if not items:
            raise DataError(
                f"evaluation set {self.config.source!r} has no {split} items in {lang!r}; "
                "check data.evaluation or leave the language out of the task's languages"
            )
        return list(items)

    def examples(self, lang: str) -> list[Any]:
        """Items of the train part, else of the dev part, for worked examples."""
        problems = []
        for split in ("train", "valid"):
            try:
                return self.read(lang, split)
            except DataError as error:
                problems.append(str(error))
        raise DataError(
            f"task {self.name!r} wants {self.config.shots} worked examples, but {lang!r} has "
            f"neither a train nor a dev part; set eval_suite.tasks.{self.name}.shots=0. "
            f"Tried: {problems[-1]}"
        )
