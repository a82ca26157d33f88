"""Multiple choice: the option with the highest log-likelihood after the prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from franken.config.eval_suite import OptionScore
from franken.lazy import later
from franken.tasks.base import EvalTask, task_kind

with later():
    from torch import Tensor

    from franken.eval_suite.generated import truncation
    from franken.eval_suite.prompts import (
        continuations,
        draw_shots,
        fill,
        list_options,
    )
    from franken.eval_suite.scoring import Request
    from franken.eval_suite.suite import Item, TaskRun
    from franken.statistics import Units
    from franken.tokenizer.chat import chat_prompt


@dataclass(frozen=True)
class Question:
    """One item made ready for scoring."""

    id: str
    prompt: str
    options: list[str]
    scored: list[str]
    answer: int
    cluster: str = ""


METRICS = {"acc": "prediction", "acc_norm": "prediction_norm", "acc_bytes": "prediction_bytes"}
"""Metric -> the key under which an item keeps what it predicts."""
LENGTHS = {"norm": OptionScore.mean_character, "bytes": OptionScore.mean_byte}


@task_kind
class MultipleChoice(EvalTask):
    """Option with the highest log-likelihood."""

    schemas: ClassVar[tuple[str, ...]] = ("sib200", "belebele", "xcopa", "global_mmlu")

    def run(self, task: TaskRun) -> None:
        """Score a task: ``acc`` by the configured rule, ``acc_norm`` and ``acc_bytes`` by length.

        ``acc_norm`` takes the log-likelihood per character, as lm-evaluation-harness does under
        this name; ``acc_bytes`` per UTF-8 byte, equal for all scripts.
        """
        known = set(task.data.task_languages(task.config.source))
        for lang in task.languages(known.__contains__):
            questions = prepare(task, lang)
            results = answer(task, lang, questions)
            chance = math.fsum(1 / len(question.options) for question in questions) / len(questions)
            ids = [question.id for question in questions]
            clusters = [question.cluster or question.id for question in questions]
            for metric, guess in METRICS.items():
                right = [float(item[guess] == item["answer"]) for item in results]
                units = Units.of(ids, right, clusters=None if clusters == ids else clusters)
                task.score(lang, metric, units, chance=chance, **truncation(results))
            task.keep(results)


def prepare(task: TaskRun, lang: str) -> list[Question]:
    """Prompts with worked examples in front, and the text scored for each option."""
    questions = [_question(task, lang, item) for item in task.read(lang, limit=task.config.limit)]
    chosen: list[Question] = []
    if task.config.shots:
        pool = [_question(task, lang, item) for item in task.examples(lang)]
        places = draw_shots(task.config.shots, len(pool), task.seed, task.name, lang)
        chosen = [pool[place] for place in places]
    if task.chat:
        turns = [(shot.prompt, shot.scored[shot.answer]) for shot in chosen]
        return [_asked_in_chat(task, turns, question) for question in questions]
    preamble = "".join(
        shot.prompt + shot.scored[shot.answer] + task.config.shot_separator for shot in chosen
    )
    return [replace(question, prompt=preamble + question.prompt) for question in questions]


def _asked_in_chat(task: TaskRun, turns: list[tuple[str, str]], question: Question) -> Question:
    """A turn begins with the answer itself, not with the space that sets it apart in a text."""
    prompt = chat_prompt(task.encoder.tokenizer, turns, question.prompt)
    return replace(question, prompt=prompt, scored=[text.strip() for text in question.scored])


def _question(task: TaskRun, lang: str, item: object) -> Question:
    options = [task.config.labels.get(option, option) for option in item.options]  # type: ignore[attr-defined]
    fields = {
        **task.language_fields(lang),
        **item.fields,  # type: ignore[attr-defined]
        "options": list_options(options),
    }
    return Question(
        item.id,  # type: ignore[attr-defined]
        fill(task.config.prompt, fields, task=task.name),
        options,
        continuations(task.config, options, task=task.name),
        item.answer,  # type: ignore[attr-defined]
        item.cluster,  # type: ignore[attr-defined]
    )


def answer(task: TaskRun, lang: str, questions: Sequence[Question]) -> list[Item]:
    """Score all options of all questions; one stored record per question.

    The prompt's first tokens (but not bos) are dropped where prompt and longest option exceed what
    the model can read; such items carry ``truncated``.
    """
    requests: list[Request] = []
    cut: list[bool] = []
    for question in questions:
        asked = [question.prompt] * len(question.scored)
        (ids, *_), tails = task.encoder.answers(asked, question.scored)
        room = task.readout.positions
        if room is not None:
            room = max(1, room + 1 - max(len(tail) for tail in tails))
        head, truncated = task.encoder.opened(ids, room)
        cut.append(truncated)
        requests += [Request(tuple(head), tuple(tail)) for tail in tails]
    values = task.log_probs(lang, requests)
    results: list[Item] = []
    start = 0
    for question, truncated in zip(questions, cut, strict=True):
        stop = start + len(question.scored)
        results.append(_judge(task, lang, question, values[start:stop], truncated))
        start = stop
    return results


def _judge(
    task: TaskRun, lang: str, question: Question, values: Sequence[Tensor], truncated: bool
) -> Item:
    def scores(rule: OptionScore) -> list[float]:
        pairs = zip(values, question.scored, strict=True)
        return [option_score(value, text, rule) for value, text in pairs]

    own = scores(task.config.score)
    found: Item = {
        "lang": lang,
        "id": question.id,
        "prompt": question.prompt,
        "options": question.options,
        "scored": question.scored,
        "scores": own,
        "tokens": [len(value) for value in values],
        "prediction": own.index(max(own)),
        "answer": question.answer,
        "truncated": truncated,
    }
    for name, rule in LENGTHS.items():
        by_length = scores(rule)
        found[f"scores_{name}"] = by_length
        found[f"prediction_{name}"] = by_length.index(max(by_length))
    return found


def option_score(token_log_probs: Tensor, text: str, rule: OptionScore) -> float:
    """Log-likelihood (nats) of one option: summed, or per token, character or UTF-8 byte.

    Characters and bytes are those of the option without the space that sets it apart.
    """
    total = math.fsum(token_log_probs.tolist())
    if rule is OptionScore.mean_token:
        return total / len(token_log_probs)
    if rule is OptionScore.mean_character:
        return total / max(1, len(text.strip()))
    if rule is OptionScore.mean_byte:
        return total / max(1, len(text.strip().encode()))
    return total
