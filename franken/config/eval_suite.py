"""Options of the group ``eval_suite``: which tasks are scored and how."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from franken.config.checks import at_least, hint, members_by_name
from franken.declare import find, options, schema


class OptionScore(StrEnum):
    """How an option's log-likelihood is made comparable."""

    sum = "sum"
    mean_token = "mean_token"
    mean_character = "mean_character"
    mean_byte = "mean_byte"


class LimitTakes(StrEnum):
    """Which items of an evaluation set a limit keeps."""

    spread = "spread"
    """Evenly spread ones, in their order: published sets may be sorted by label or by document."""
    first = "first"


class Chat(StrEnum):
    """Whether prompts are put in the model's chat template."""

    auto = "auto"
    """For models that have one."""
    on = "on"
    """Models without one are left out."""
    off = "off"
    both = "both"
    """Plain under the task's name, in chat form under ``NAME@chat`` for models that have one."""


class ShotChoice(StrEnum):
    """Which worked examples a prompt shows."""

    drawn = "drawn"
    """The same for every item and system, drawn by the seed."""
    nearest = "nearest"
    """Those whose prompts have most character trigrams in common with the item's own."""


@members_by_name
@dataclass
class TaskConfig:
    """One task of a suite."""

    kind: str = "multiple_choice"
    """A file of ``franken/tasks``: what is measured."""
    source: str = ""
    """Entry of ``data.evaluation``, or a text role for ``bits_per_byte``, ``tokenizer_intrinsics``
    and ``new_tokens``."""
    prompt: str = ""
    """Template over the item's fields, e.g. ``{text} topic :``; see franken/data/schemas.py."""
    option: str = " {option}"
    """Template of the continuation that is scored; fields ``option``, ``letter``. With ``letters``
    and this default, `` ({letter})`` is scored."""
    score: OptionScore = OptionScore.sum
    letters: bool = False
    """Whether the prompt field ``options`` lists them as ``(A) ...`` and the letter is scored."""
    labels: dict[str, str] = field(default_factory=dict)
    """Renames options before scoring, e.g. ``science/technology: science``."""
    chat: Chat = Chat.auto
    """Whether prompts are put in the model's chat template: worked examples become earlier turns,
    the end of a turn ends an answer (the default ``stop`` does not), bos stands there once."""
    shots: int = 0
    """Worked examples in the prompt, taken from the task's train or dev part."""
    shot_choice: ShotChoice = ShotChoice.drawn
    """Which examples; ``nearest`` for tasks that generate."""
    languages: list[str] | None = None
    """``null``: source and target languages."""
    texts: dict[str, str] = field(default_factory=dict)
    """Tasks of text: language (or ``code``) -> file of held-out text beside the data's, plain or
    JSON lines with a field ``text``; ``{package}`` stands for the directory of franken."""
    limit: int | None = None
    """Items per language at most: of evaluation sets as ``limit_takes`` of the suite says, of texts
    the first."""
    max_new_tokens: int = 64
    """Tokens per generation at most."""
    min_new_tokens: int = 0
    """Generations do not end by eos before so many tokens."""
    max_new_bytes: int | None = None
    """Cut generations at so many bytes too, equal for all vocabularies."""
    stop: str = "\n"
    """Generations end before its first occurrence; empty for none."""
    stops: list[str] = field(default_factory=list)
    """Further strings that end generations. Tokens that end them are those of the model: the
    tokenizer's eos, the generation config's list, the chat template's end of a turn."""
    shot_separator: str = "\n\n"
    """Stands between worked examples and the item."""
    window_tokens: int | None = 2048
    """bits_per_byte, pseudo_bits_per_byte: longest piece of a document read at once; ``null``: all
    the model can (the latter: 128). Never more than the model's positions."""
    reverse: bool = False
    """translation: from the target language into the source language."""
    bleu: bool = False
    """translation: BLEU beside chrF++."""
    chrf: bool = False
    """translation: chrF beside chrF++."""
    reference_bits: bool = False
    """translation: bits per byte of the reference after the prompt, beside chrF++."""
    beams: int = 1
    """Tasks that generate: hypotheses of beam search; 1: the most likely token at each step."""
    read: str | None = None
    """Hydra LLMs: table that encodes the prompt; ``null``: that of the prompt's language."""
    write: str | None = None
    """Hydra LLMs: table that answers are in; ``null``: that of the answer's language."""
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of a kind of task from another package."""

    @property
    def reads_text(self) -> bool:
        """Whether it is a task of text, without a prompt."""
        return bool(find("tasks", self.kind).reads_text)

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.source:
            yield "source", "names neither an evaluation set nor a text role"
        if self.kind not in (known := options("tasks")):
            yield "kind", f"{self.kind!r} is no kind of task.{hint(self.kind, known)}"
        elif find("tasks", self.kind).prompted and not self.reads_text and not self.prompt:
            yield "prompt", f"a task of kind {self.kind} needs a prompt template"
        yield from at_least("limit", self.limit, 1)
        yield from at_least("shots", self.shots, 0)
        if self.shot_choice is ShotChoice.nearest and self.kind == "multiple_choice":
            yield "shot_choice", "is nearest, which multiple_choice does not have; choose drawn"
        yield from at_least("max_new_tokens", self.max_new_tokens, 1)
        yield from at_least("max_new_bytes", self.max_new_bytes, 1)
        yield from at_least("min_new_tokens", self.min_new_tokens, 0)
        yield from at_least("beams", self.beams, 1)
        yield from at_least("window_tokens", self.window_tokens, 1)


@dataclass
class SuiteConfig:
    """What models are scored with."""

    name: str = "microworld"
    """The option, as results name it."""


@schema("suite")
class EvalSuiteConfig(SuiteConfig):
    """Tasks by the name they carry in ``results.jsonl``."""

    tasks: dict[str, TaskConfig] = field(default_factory=dict)
    """Name in ``results.jsonl`` -> what is measured, and how."""
    limit_takes: LimitTakes = LimitTakes.spread
    opening: str = "tokenizer"
    """What stands in front of prompts and texts: ``tokenizer`` (what it puts there by itself),
    ``always`` (bos, else eos), ``none``, or the text of a token. Without any, the first token of a
    text is charged as one of equally likely ones."""
    batch_tokens: int = 16_384
    """Tokens per forward pass, padding included (does not change results)."""


@schema("lm_eval", written=True)
class LmEvalSuite(SuiteConfig):
    """Any task of lm-evaluation-harness (pip install 'franken[lm-eval]'), on any model of a recipe.

    Its prompts, data, metrics and standard errors are the harness's own.
    """

    name: str = "lm_eval"
    tasks: list[str] = field(default_factory=list)
    """Names of tasks, groups and tags as the harness has them, or globs: ``belebele_*_Latn``; with
    ``!`` in front, what globs do not mean. Of a group and its tasks a glob means the group."""
    of_data: bool = False
    """Of what globs match, only tasks in the data's languages, as their names tell."""
    include_path: list[str] = field(default_factory=list)
    """Directories with YAML files of further tasks."""
    local: dict[str, str] = field(default_factory=dict)
    """Hub id of a data set -> local directory with its files, read in its place. For tasks named
    one by one, not for groups."""
    shots: int | None = None
    """Worked examples; ``null``: as each task says."""
    shot_seed: int | None = 1234
    """Draws worked examples; the harness's own default. ``null``: the run's seed."""
    limit: int | None = None
    """Items per task at most: the first ones, for trying out."""
    chat: bool = False
    """Whether prompts are put into the model's chat template."""
    bootstrap: int = 1000
    """Resamples for standard errors of metrics that are no means; the harness takes 100000."""
    tables: dict[str, str] = field(default_factory=dict)
    """Hydra LLMs: task or glob -> table; else that of the language that a task's name tells."""
    batch_tokens: int = 16_384
    """Tokens per forward pass, padding included (does not change results)."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.tasks:
            yield "tasks", "names no task; write eval_suite.tasks=[belebele_swh_Latn, ...]"
        yield from at_least("limit", self.limit, 1)
        yield from at_least("shots", self.shots, 0)
        yield from at_least("bootstrap", self.bootstrap, 0)
        yield from at_least("batch_tokens", self.batch_tokens, 1)
