"""Translation: greedy generation, chrF++ (and BLEU) by sacrebleu with its signature."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from franken.eval_suite.generated import continue_items, truncation
from franken.eval_suite.suite import TaskRun
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
            lambda item: f" {_sides(task, item)[1]}",
        )
        for result, reference in zip(results, references, strict=True):
            result["reference"] = reference
        guesses = [str(result["generation"]) for result in results]
        for metric in ("chrf++", *(["bleu"] if task.config.bleu else [])):
            value, stderr, signature = corpus_score(metric, guesses, references, seed=task.seed)
            extra = truncation(results)
            task.add(lang, metric, value, len(items), stderr, signature=signature, **extra)
        task.keep(results)


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
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    scorer: Any = CHRF(word_order=2) if metric == "chrf++" else BLEU()
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
    return value, float(np.std(scores, ddof=1)), signature
