"""What an evaluation returns, and what the tasks share while they are run."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from itertools import islice
from typing import Any

from torch import Tensor

from franken.config.eval_suite import LimitTakes, TaskConfig
from franken.data.plain_text import read_texts
from franken.data.source import DataSource
from franken.decoding import Written
from franken.errors import DataError
from franken.eval_suite.encoding import Encoder
from franken.eval_suite.generation import Limits, generate
from franken.eval_suite.journal import Journal, as_text, as_values, key_of
from franken.eval_suite.languages import language_name
from franken.eval_suite.readout import Readout
from franken.eval_suite.scoring import Request, log_probs
from franken.parts.label_head import Labeller
from franken.statistics import Units, clustered_stderr, influences, ratio

log = logging.getLogger(__name__)

Item = dict[str, Any]
MORE = -1
"""Stands for the size of a set of texts that goes on beyond a limit: streams are not counted."""
VALID = "valid"
"""Part of a text role that is held out."""


@dataclass(frozen=True)
class Score:
    """One number of one task in one language.

    ``acc*`` metrics are fractions in 0..1. ``stderr`` is ``None`` where no spread is defined (one
    unit, or a quantity that is no mean). ``extra`` helps to read the number: ``lang_role`` (one of
    ``source``, ``target``, ``other``), ``chance``, sacrebleu's ``signature``, ``truncated``,
    ``set_size`` (items of the whole set) or ``of_more`` (the first ones of an uncounted set),
    ``opening`` (what stands in front of a text), ``chat``
    (whether the model's chat template was applied).
    """

    task: str
    lang: str
    metric: str
    value: float
    n: int
    stderr: float | None
    extra: dict[str, Any] = field(default_factory=dict)
    units: Units | None = None
    """The items that the number is made of, where it is made of items."""

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
    journal: Journal = field(default_factory=Journal)
    chat: bool | None = None
    """Whether prompts are put in the model's chat template; ``None``: the task has no prompts."""
    origin: Any = None
    """What the model's vocabulary came from, see ``new_tokens.Origin``."""
    head: Labeller | None = None
    """A head on the model's body, for tasks of labels."""
    set_sizes: dict[str, int] = field(default_factory=dict)
    """Language -> items of the whole set, where it was counted."""

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

    def speaks(self, lang: str) -> bool:
        """Whether there is text in a language for a task of text."""
        return lang in self.config.texts or self.data.has(self.config.source, lang)

    def languages(
        self, available: Callable[[str], bool], *, targets_only: bool = False
    ) -> list[str]:
        """Languages to score; those that the data lack are skipped with a warning."""
        wanted = self.config.languages
        if wanted is None:
            wanted = [
                *([] if targets_only else [self.source_language]),
                *self.data.config.languages,
                *self.config.texts,
            ]
            wanted = list(dict.fromkeys(wanted))
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

    def score(
        self, lang: str, metric: str, units: Units, *, value: float | None = None, **extra: Any
    ) -> None:
        """Note a score.

        Args:
            lang: language of the items.
            metric: what is measured.
            units: the items that it is made of; they give its error.
            value: the score, where it is no ratio of sums (chrF); its units are pseudo-values.
            extra: what helps to read the number.
        """
        own = ratio(units) if value is None else value
        stderr = clustered_stderr(influences([units]))
        self._add(lang, metric, own, len(units.ids), stderr, units, extra)

    def figure(self, lang: str, metric: str, value: float, n: int, **extra: Any) -> None:
        """Note a figure that is no mean of items and has no error."""
        self._add(lang, metric, value, n, None, None, extra)

    def _add(
        self, lang: str, metric: str, value: float, n: int, stderr: float | None,
        units: Units | None, extra: dict[str, Any],
    ) -> None:  # fmt: skip
        role = "target" if lang in self.data.config.languages else "other"
        extra["lang_role"] = "source" if lang == self.source_language else role
        size = self.set_sizes.get(lang)
        extra["set_size"] = None if size == MORE else size
        if size == MORE:
            extra["of_more"] = True
        extra["opening"] = self.encoder.opening_text
        if self.chat is not None:
            extra["chat"] = self.chat
        self.result.scores.append(Score(self.name, lang, metric, value, n, stderr, extra, units))

    def keep(self, items: list[Item]) -> None:
        """Store per-item outputs."""
        self.result.items.setdefault(self.name, []).extend(items)

    def progress(self, lang: str, total: int, done: int = 0) -> Callable[[int], None]:
        """A counter for one language of this task, of which some may be done already."""
        self.advance(f"{self.name} {lang}", done, total)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self.advance(f"{self.name} {lang}", done, total)

        return advance

    def log_probs(self, lang: str, requests: Sequence[Request]) -> list[Tensor]:
        """Score requests, but for those that an earlier run kept; see ``scoring.log_probs``."""
        keys = [
            key_of(self.name, lang, len(r.context), r.prompted, ids=r.context + r.continuation)
            for r in requests
        ]
        found = self.journal.found
        left = [at for at, key in enumerate(keys) if key not in found]
        advance = self.progress(lang, len(requests), len(requests) - len(left))
        fresh = log_probs(
            self.readout, [requests[at] for at in left], batch_tokens=self.batch_tokens,
            advance=advance,
            done=lambda rows: self.journal.add(
                (keys[left[at]], as_text(scored.log_probs)) for at, scored in rows
            ),
        )  # fmt: skip
        new = dict(zip(left, fresh, strict=True))
        return [new[at] if at in new else as_values(found[key]) for at, key in enumerate(keys)]

    def written(self, lang: str, prompts: Sequence[list[int]], limits: Limits) -> list[Written]:
        """Continue prompts, but for those that an earlier run kept; see ``generate``."""
        asked = (self.name, lang, limits.max_new_tokens, self.config.beams)
        keys = [key_of(*asked, ids=prompt) for prompt in prompts]
        found = self.journal.found
        left = [at for at, key in enumerate(keys) if key not in found]
        advance = self.progress(lang, len(prompts), len(prompts) - len(left))

        def done(chosen: Sequence[int], made: Sequence[Written]) -> None:
            rows = zip(chosen, made, strict=True)
            self.journal.add((keys[left[at]], list(astuple(own))) for at, own in rows)
            advance(len(chosen))

        fresh = generate(
            self.readout, self.encoder.tokenizer, [prompts[at] for at in left], limits,
            batch_tokens=self.batch_tokens, writable=self.encoder.writable,
            beams=self.config.beams, done=done,
        )  # fmt: skip
        new = dict(zip(left, fresh, strict=True))
        return [new[at] if at in new else Written(*found[key]) for at, key in enumerate(keys)]

    def held_out(self, lang: str) -> list[str]:
        """Texts of the ``valid`` part of the task's role, at most ``limit``, empty ones left out.

        Raises:
            DataError: where there are none.
        """
        role, limit = self.config.source, self.config.limit
        own = self.config.texts.get(lang)
        texts = iter(self.data.texts(role, lang, VALID) if own is None else read_texts(own))
        chosen = list(islice(texts, limit))
        self.set_sizes[lang] = len(chosen) if next(texts, None) is None else MORE
        kept = [text for text in chosen if text]
        if not kept:
            raise DataError(
                f"role {role!r} has no {VALID} text in {lang!r}, so task {self.name!r} has nothing "
                "to score; check the data option or leave the language out"
            )
        return kept

    def read(self, lang: str, split: str = "test", *, limit: int | None = None) -> list[Any]:
        """Items of the task's evaluation set, at most ``limit``.

        Raises:
            DataError: when there are none.
        """
        from franken.data.schemas import read_items

        rows = self.data.task_rows(self.config.source, lang, split)
        chosen = some_of(list(range(len(rows))), limit, self.limit_takes)
        items = read_items(
            self.data.task_schema(self.config.source),
            [rows[at] for at in chosen],
            lang=lang,
            source_lang=self.source_language,
            numbers=[at + 1 for at in chosen],
            whole=rows,
        )
        if split == "test":
            self.set_sizes[lang] = len(rows)
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
