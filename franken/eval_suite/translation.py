"""Translation: generation, chrF++ (chrF, BLEU) by sacrebleu with its signature and interval."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from franken.data.encoding import joined_response
from franken.eval_suite.generated import continue_items, truncation
from franken.eval_suite.scoring import Request, log_probs
from franken.eval_suite.standard_errors import ratio, ratio_stderr
from franken.eval_suite.suite import Item, TaskRun
from franken.seeds import derive_seed

RESAMPLES = 200


def run(task: TaskRun) -> None:
    """Translate from the source language into each target language (``reverse``: the other way)."""
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
        guesses = [str(result["generation"]) for result in results]
        wanted = {"chrf++": True, "chrf": task.config.chrf, "bleu": task.config.bleu}
        for metric in (name for name, asked in wanted.items() if asked):
            value, draws, signature = resampled_score(metric, guesses, references, seed=task.seed)
            extra: dict[str, Any] = {"signature": signature, **truncation(results)}
            if draws is not None:
                extra["low"], extra["high"] = interval(draws)
            task.add(lang, metric, value, len(items), spread(draws), **extra)
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
    values = log_probs(task.readout, requests, batch_tokens=task.batch_tokens)
    bits = [-math.fsum(value.tolist()) / math.log(2) for value in values]
    for item, own in zip(results, bits, strict=True):
        item["reference_bits"] = own
    task.add(
        lang, "reference_bits_per_byte", ratio(bits, sizes), len(bits), ratio_stderr(bits, sizes)
    )


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


def corpus_score(
    metric: str, guesses: Sequence[str], references: Sequence[str], *, seed: int = 0
) -> tuple[float, float | None, str]:
    """Corpus score in 0..100, its standard error and sacrebleu's signature.

    The standard error is the standard deviation over bootstrap resamples of the items. sacrebleu's
    own bootstrap stops with a TypeError for BLEU under Python 3.11 (2.6.0 averages float32 values
    with ``statistics.mean``), so its per-sentence counts are resampled here.

    Returns:
        Score, standard error (``None`` for fewer than two items) and signature.
    """
    value, draws, signature = resampled_score(metric, guesses, references, seed=seed)
    return value, spread(draws), signature


def spread(draws: np.ndarray | None) -> float | None:
    """Standard deviation of bootstrap draws."""
    return None if draws is None else float(np.std(draws, ddof=1))


def interval(draws: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval of bootstrap draws."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def resampled_score(
    metric: str, guesses: Sequence[str], references: Sequence[str], *, seed: int = 0
) -> tuple[float, np.ndarray | None, str]:
    """Corpus score, its value in each bootstrap resample of the items, and the signature.

    The draws are ``None`` for fewer than two items.
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
        return value, None, signature
    counts = np.array(scorer._extract_corpus_statistics(*sides))
    draw = np.random.default_rng(derive_seed(seed, "bootstrap", metric))
    weights = draw.multinomial(items, np.full(items, 1 / items), size=RESAMPLES)
    scores = [scorer._aggregate_and_compute([row]).score for row in (weights @ counts).tolist()]
    return value, np.array(scores), signature
