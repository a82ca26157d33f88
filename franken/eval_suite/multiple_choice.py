"""Multiple choice: the option with the highest log-likelihood after the prompt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from franken.config.eval_suite import OptionScore
from franken.eval_suite.generated import truncation
from franken.eval_suite.prompts import (
    continuations,
    draw_shots,
    fill,
    list_options,
)
from franken.eval_suite.scoring import Request, log_probs
from franken.eval_suite.standard_errors import binomial_stderr, mean
from franken.eval_suite.suite import Item, TaskRun


@dataclass(frozen=True)
class Question:
    """One item made ready for scoring."""

    id: str
    prompt: str
    options: list[str]
    scored: list[str]
    answer: int


def run(task: TaskRun) -> None:
    """Score a task: ``acc`` by the configured rule, ``acc_norm`` by log-likelihood per byte."""
    known = set(task.data.task_languages(task.config.source))
    for lang in task.languages(known.__contains__):
        questions = prepare(task, lang)
        results = answer(task, lang, questions)
        n = len(results)
        chance = mean([1 / len(question.options) for question in questions])
        extra = truncation(results)
        for metric, guess in (("acc", "prediction"), ("acc_norm", "prediction_norm")):
            share = mean([float(item[guess] == item["answer"]) for item in results])
            task.add(lang, metric, share, n, binomial_stderr(share, n), chance=chance, **extra)
        task.keep(results)


def prepare(task: TaskRun, lang: str) -> list[Question]:
    """Prompts with worked examples in front, and the text scored for each option."""
    questions = [_question(task, lang, item) for item in task.read(lang, limit=task.config.limit)]
    if not task.config.shots:
        return questions
    pool = [_question(task, lang, item) for item in task.examples(lang)]
    chosen = draw_shots(task.config.shots, len(pool), task.seed, task.name, lang)
    preamble = "".join(
        pool[index].prompt + pool[index].scored[pool[index].answer] + task.config.shot_separator
        for index in chosen
    )
    return [Question(q.id, preamble + q.prompt, q.options, q.scored, q.answer) for q in questions]


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
    values = log_probs(
        task.readout,
        requests,
        batch_tokens=task.batch_tokens,
        advance=task.progress(lang, len(requests)),
    )
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
    scores = [
        option_score(value, text, task.config.score)
        for value, text in zip(values, question.scored, strict=True)
    ]
    per_byte = [
        option_score(value, text, OptionScore.mean_byte)
        for value, text in zip(values, question.scored, strict=True)
    ]
    return {
        "lang": lang,
        "id": question.id,
        "prompt": question.prompt,
        "options": question.options,
        "scored": question.scored,
        "scores": scores,
        "scores_norm": per_byte,
        "tokens": [len(value) for value in values],
        "prediction": scores.index(max(scores)),
        "prediction_norm": per_byte.index(max(per_byte)),
        "answer": question.answer,
        "truncated": truncated,
    }


def option_score(token_log_probs: Tensor, text: str, rule: OptionScore) -> float:
    """Log-likelihood (nats) of one option, summed or per token or per UTF-8 byte.

    Bytes are those of the option without the space that sets it apart from the prompt.
    """
    total = math.fsum(token_log_probs.tolist())
    if rule is OptionScore.mean_token:
        return total / len(token_log_probs)
    if rule is OptionScore.mean_byte:
        return total / max(1, len(text.strip().encode()))
    return total
