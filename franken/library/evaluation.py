"""``evaluate``: a model scored on text and evaluation sets, as recipes do it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any

from franken.composition.hydra import HydraModel
from franken.config.checks import checked, hint
from franken.config.eval_suite import EvalSuiteConfig
from franken.data import open_data
from franken.data.source import VALID, DataSource
from franken.errors import ConfigError
from franken.eval_suite import SuiteResult
from franken.eval_suite import evaluate as run_suite
from franken.library.given import gather
from franken.library.memory_data import MemoryData
from franken.library.options import chosen, typed
from franken.library.origin import check_objects

_TEXT_KINDS = ("bits_per_byte", "pseudo_bits_per_byte", "tokenizer_intrinsics", "speed")


class Scores(SuiteResult):
    """What ``evaluate`` gives back: ``scores``, per-item outputs in ``items``, and ``skipped``."""

    def value(self, task: str, lang: str, metric: str | None = None) -> float:
        """One figure.

        Args:
            task: name of the task.
            lang: language.
            metric: default: the task's first.

        Raises:
            ConfigError: names what there is.
        """
        for score in self.scores:
            if (score.task, score.lang) == (task, lang) and metric in (None, score.metric):
                return score.value
        known = sorted({f"{s.task}/{s.lang}/{s.metric}" for s in self.scores})
        raise ConfigError(f"no score {task}/{lang}/{metric}.{hint(f'{task}/{lang}', known)}")

    def as_dict(self) -> dict[str, dict[str, dict[str, float]]]:
        """Task -> language -> metric -> value."""
        found: dict[str, dict[str, dict[str, float]]] = {}
        for score in self.scores:
            found.setdefault(score.task, {}).setdefault(score.lang, {})[score.metric] = score.value
        return found


def evaluate(
    model: Any,
    tokenizer: Any,
    tasks: str | Sequence[str] | Mapping[str, Any] | Any,
    *,
    data: Any,
    pairs: Any = None,
    sets: Mapping[str, tuple[str, Mapping[str, list[dict[str, Any]]]]] | None = None,
    source_language: str = "en",
    seed: int = 0,
    batch_tokens: int = 16_384,
    progress: bool = False,
) -> Scores:
    """Score a model.

    Args:
        model: a causal or masked language model of transformers (on any device, also under peft),
            or a ``HydraModel``.
        tokenizer: its tokenizer; ``None`` for a ``HydraModel``.
        tasks: ``bits_per_byte`` (of a masked model ``pseudo_bits_per_byte``),
            ``tokenizer_intrinsics`` and ``speed`` by name; other tasks as a mapping from name to
            the fields of a task (``kind``, ``source``, ``prompt``, ...); or the name or options of
            a whole suite (group ``eval_suite``).
        data: text to score: language -> lines. Or a data option (its dataclass), an opened source,
            the name of an option (``pocket``), or the directory of one laid out as
            ``conf/data/sample.yaml`` describes.
        pairs: language -> sentence pairs, for the tokenizer's parity.
        sets: evaluation set -> (schema, language -> rows as published), for other tasks.
        source_language: what ``lang_role`` calls the source.
        seed: draws worked examples.
        batch_tokens: tokens per forward pass; does not change results.
        progress: whether to draw a bar on a terminal.

    Returns:
        The scores, each with n and standard error.

    Raises:
        ConfigError: for an unknown task, or one whose source the data lack.
    """
    if tokenizer is None and not isinstance(model, HydraModel):
        raise ConfigError("evaluate: tokenizer is None; only a HydraModel brings its own")
    if not isinstance(model, HydraModel):
        check_objects("evaluate", model=model, tokenizer=tokenizer)
    source = _source(data, pairs, sets, source_language)
    suite = _suite(tasks, batch_tokens)
    if isinstance(source, MemoryData) and isinstance(suite, EvalSuiteConfig):
        suite = _of_what_is_there(suite, source)
    result = run_suite(model, tokenizer, suite, source, seed=seed, progress=progress)
    return Scores(result.scores, result.items, result.skipped)


def _source(data: Any, pairs: Any, sets: Any, source_language: str) -> DataSource:
    if isinstance(data, str) and not Path(data).expanduser().is_dir():
        return open_data(chosen("data", data, {}, "evaluate"))
    if isinstance(data, str | Path):
        root = {"root": str(Path(data).expanduser())}
        return open_data(chosen("data", "sample", root, "evaluate"))
    if isinstance(data, DataSource):
        return data
    if is_dataclass(data):
        return open_data(checked(data, "evaluate: data"))  # type: ignore[arg-type]
    given = gather(data, pairs=pairs, source_language=source_language)
    return MemoryData(given, split=VALID, sets=sets)


def _suite(tasks: Any, batch_tokens: int) -> Any:
    if isinstance(tasks, str) and tasks not in _TEXT_KINDS:
        return chosen("eval_suite", tasks, {"batch_tokens": batch_tokens}, "evaluate")
    if is_dataclass(tasks):
        return checked(tasks, "evaluate")
    named: Mapping[str, Any]
    if isinstance(tasks, Mapping):
        named = tasks
    else:
        listed = [tasks] if isinstance(tasks, str) else list(tasks)
        unknown = next((name for name in listed if name not in _TEXT_KINDS), None)
        if unknown is not None:
            raise ConfigError(
                f"evaluate: {unknown!r} is no task of text.{hint(str(unknown), _TEXT_KINDS)} Give "
                "others as a mapping from name to fields, or name a suite"
            )
        named = {name: {"kind": name, "source": "monolingual"} for name in listed}
    fields = {
        name: asdict(task) if is_dataclass(task) else dict(task)  # type: ignore[arg-type]
        for name, task in named.items()
    }
    for task in fields.values():
        if task.get("kind") in _TEXT_KINDS:
            task.setdefault("source", "monolingual")
    values = {"name": "evaluate", "tasks": fields, "batch_tokens": batch_tokens}
    return typed(EvalSuiteConfig, values, "evaluate")


def _of_what_is_there(suite: EvalSuiteConfig, source: MemoryData) -> EvalSuiteConfig:
    """Tasks of text ask for the languages that were given, not for a source that was not."""
    known = [source.config.source_language, *source.config.languages]
    tasks = {
        name: replace(task, languages=[x for x in known if source.has(task.source, x)])
        if task.kind in _TEXT_KINDS and task.languages is None and not task.texts
        else task
        for name, task in suite.tasks.items()
    }
    return replace(suite, tasks=tasks)
