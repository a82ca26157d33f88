"""Evaluation of a model with several packs: one answers per task, or a router decides."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from franken.config.eval_suite import EvalSuiteConfig, SuiteConfig, TaskConfig
from franken.data.source import DataSource
from franken.eval_suite import SuiteResult, evaluate
from franken.eval_suite.journal import Journal
from franken.skillpack.experts import Experts
from franken.skillpack.routed import RoutedModel
from franken.skillpack.router import PackRouter


def evaluate_routed(
    experts: Experts, router: PackRouter, tokenizer: Any, suite: SuiteConfig,
    data: DataSource, *, seed: int = 0, device: Any = None, journal: Journal | None = None,
) -> SuiteResult:  # fmt: skip
    """Score a suite; every request (or token) is answered by what the router picks."""
    routed = RoutedModel(experts, router)
    return evaluate(routed, tokenizer, suite, data, seed=seed, device=device, journal=journal)


def evaluate_by_task(
    experts: Experts, tasks: Mapping[str, str], tokenizer: Any, suite: EvalSuiteConfig,
    data: DataSource, *, seed: int = 0, device: Any = None, journal: Journal | None = None,
) -> SuiteResult:  # fmt: skip
    """Score a suite with the pack that a map names for each task (the oracle).

    Args:
        experts: the model and its packs.
        tasks: ``task@language``, ``@language``, ``task@target`` or ``task`` -> pack, the first that
            is there wins; anything else is answered without a pack.
        tokenizer: of the model.
        suite: the tasks.
        data: where they come from.
        seed: draws the worked examples.
        device: where to run.
        journal: where results are kept as they come.
    """
    result = SuiteResult()
    for name, task in suite.tasks.items():
        for pack, languages in _by_pack(name, task, tasks, data).items():
            part = replace(suite, tasks={name: replace(task, languages=languages)})
            with experts.acting(experts.index(pack)):
                found = evaluate(
                    experts.model, tokenizer, part, data, seed=seed, device=device, journal=journal
                )
            result.scores += found.scores
            result.skipped += found.skipped
            for key, items in found.items.items():
                result.items.setdefault(key, []).extend(items)
    return result


def pack_of_task(name: str, language: str, tasks: Mapping[str, str], source: str) -> str | None:
    """The pack that a map names for a task in a language; ``@target`` is all but the source."""
    keys = [f"{name}@{language}", f"@{language}", f"{name}@target", name]
    if language == source:
        keys.remove(f"{name}@target")
    for key in keys:
        if key in tasks:
            return tasks[key]
    return None


def _by_pack(
    name: str, task: TaskConfig, tasks: Mapping[str, str], data: DataSource
) -> dict[str | None, list[str]]:
    wanted = task.languages
    if wanted is None:
        wanted = [data.config.source_language, *data.config.languages]
        if task.kind == "translation":
            wanted = list(data.config.languages)
    found: dict[str | None, list[str]] = {}
    for language in wanted:
        pack = pack_of_task(name, language, tasks, data.config.source_language)
        found.setdefault(pack, []).append(language)
    return found
