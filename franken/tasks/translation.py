"""Translation: generation, chrF++ (chrF, BLEU) by sacrebleu with its signature and interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from franken.lazy import later
from franken.tasks.base import EvalTask, task_kind

with later():
    import numpy as np

    from franken.data.encoding import joined_response
    from franken.eval_suite.generated import continue_items, truncation
    from franken.eval_suite.scoring import Request
    from franken.eval_suite.suite import Item, TaskRun
    from franken.seeds import derive_seed
    from franken.statistics import Units, pseudo_values


RESAMPLES = 200


@task_kind
class Translation(EvalTask):
    """Generation out of another language, chrF++."""

    schemas: ClassVar[tuple[str, ...]] = ("flores",)

    def run(self, task: TaskRun) -> None:
        """Translate from the source language into each target one (``reverse``: back)."""
        known = set(task.data.task_languages(task.config.source))
        for lang in task.languages(known.__contains__, targets_only=True):
            if lang == task.source_language:
                task.skip(lang, "it is the source language of the translation")
                continue
            items = task.read(lang, limit=task.config.limit)
            references = [_sides(task, item)[1] for item in items]
            results = continue_items(
                task,
                lang,
                items,
                partial(_fields, task, lang),
                lambda item: _sides(task, item)[1],
            )
            for result, reference in zip(results, references, strict=True):
                result["reference"] = reference
            wanted = {"chrf++": True, "chrf": task.config.chrf, "bleu": task.config.bleu}
            score_texts(task, lang, [name for name, asked in wanted.items() if asked], results)
            if task.config.reference_bits:
                _score_references(task, lang, results)
            task.keep(results)


def _score_references(task: TaskRun, lang: str, results: list[Item]) -> None:
    """Bits per byte of the reference, given the prompt as it stands (no worked examples cut)."""
    requests, sizes = [], []
    prompts = [item["prompt"] for item in results]
    answers = [joined_response(item["prompt"], item["reference"]) for item in results]
    heads, tails = task.encoder.answers(prompts, answers)
    for item, prompt, reference in zip(results, heads, tails, strict=True):
        head, _ = task.encoder.opened(prompt, None)
        requests.append(Request(tuple(head), tuple(reference)))
        sizes.append(float(len(item["reference"].encode())))
    values = task.log_probs(lang, requests)
    bits = [-math.fsum(value.tolist()) / math.log(2) for value in values]
    for item, own in zip(results, bits, strict=True):
        item["reference_bits"] = own
    units = Units.of([item["id"] for item in results], bits, sizes)
    task.score(lang, "reference_bits_per_byte", units)


def _sides(task: TaskRun, item: Any) -> tuple[str, str]:
    """The text to translate and its reference."""
    return (item.target, item.source) if task.config.reverse else (item.source, item.target)


def _fields(task: TaskRun, lang: str, item: Any) -> dict[str, str]:
    """``{source}`` is the text to translate in both directions."""
    languages = [task.name_of(task.source_language), task.name_of(lang)]
    if task.config.reverse:
        languages.reverse()
    return {
        "source": _sides(task, item)[0],
        "from_language": languages[0],
        "to_language": languages[1],
    }


def score_texts(task: TaskRun, lang: str, metrics: Sequence[str], results: list[Item]) -> None:
    """Score generations against their references by corpus metrics."""
    guesses = [str(result["generation"]) for result in results]
    references = [str(result["reference"]) for result in results]
    for metric in metrics:
        found = corpus_score(metric, guesses, references, seed=task.seed)
        extra: dict[str, Any] = {"signature": found.signature, **truncation(results)}
        if found.draws is not None:
            extra["low"], extra["high"] = interval(found.draws)
        units = Units.of([result["id"] for result in results], found.parts)
        task.score(lang, metric, units, value=found.value, **extra)


@dataclass(frozen=True)
class CorpusScore:
    """A score in 0..100 of all texts together.

    Attributes:
        value: the score.
        parts: each text's part of it, by the jackknife; with one text, the score itself.
        draws: the score in each bootstrap resample; ``None`` for fewer than two texts.
        signature: sacrebleu's.
    """

    value: float
    parts: list[float]
    draws: np.ndarray | None
    signature: str


def interval(draws: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval of bootstrap draws."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def corpus_score(
    metric: str, guesses: Sequence[str], references: Sequence[str], *, seed: int = 0
) -> CorpusScore:
    """Score texts by chrF, chrF++ or BLEU.

    sacrebleu's own bootstrap stops with a TypeError for BLEU under Python 3.11 (2.6.0 averages
    float32 values with ``statistics.mean``), so its per-sentence counts are resampled here.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    orders = {"chrf++": 2, "chrf": 0}
    scorer: Any = CHRF(word_order=orders[metric]) if metric in orders else BLEU()
    sides = list(guesses), [list(references)]
    value = float(scorer.corpus_score(*sides).score)
    signature = str(scorer.get_signature())
    items = len(guesses)
    if items < 2:
        return CorpusScore(value, [value] * items, None, signature)
    counts = np.array(scorer._extract_corpus_statistics(*sides))

    def score(total: np.ndarray) -> float:
        return float(scorer._aggregate_and_compute([total.tolist()]).score)

    draw = np.random.default_rng(derive_seed(seed, "bootstrap", metric))
    weights = draw.multinomial(items, np.full(items, 1 / items), size=RESAMPLES)
    draws = np.array([score(row) for row in weights @ counts])
    return CorpusScore(value, pseudo_values(counts, score).tolist(), draws, signature)
