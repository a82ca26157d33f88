"""Questions about a passage with free answers (SQuAD, XQuAD): exact match and word F1."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import ClassVar

from franken.lazy import later
from franken.tasks.base import EvalTask, task_kind

with later():
    from franken.eval_suite.generated import generated, truncation
    from franken.eval_suite.languages import short_code, spaces_words
    from franken.eval_suite.suite import TaskRun
    from franken.statistics import Units


_ENGLISH_ARTICLES = re.compile(r"\b(a|an|the)\b")


@task_kind
class Answering(EvalTask):
    """Generation, exact match and word F1 against accepted answers."""

    schemas: ClassVar[tuple[str, ...]] = ("xquad", "mkqa")

    def run(self, task: TaskRun) -> None:
        """Score ``acc_exact`` and ``f1``, each the best over the accepted answers (SQuAD 1.1)."""
        for lang, items, results in generated(
            task, lambda item: item.fields, lambda item: item.answers[0]
        ):
            for item, result in zip(items, results, strict=True):
                guess = words(str(result["generation"]), lang)
                golds = [words(answer, lang) for answer in item.answers]
                result["answers"] = list(item.answers)
                result["exact"] = any(guess == gold for gold in golds)
                result["f1"] = max(overlap(guess, gold) for gold in golds)
            extra = truncation(results)
            ids = [item.id for item in items]
            clusters = [item.cluster or item.id for item in items]
            for metric, key in (("acc_exact", "exact"), ("f1", "f1")):
                shares = [float(result[key]) for result in results]
                units = Units.of(ids, shares, clusters=None if clusters == ids else clusters)
                task.score(lang, metric, units, **extra)
            task.keep(results)


def words(text: str, lang: str) -> list[str]:
    """Lower-case words without punctuation; characters where a language does not space its words.

    SQuAD's normalisation, whose articles are English: they are dropped in English only.
    """
    plain = "".join(" " if unicodedata.category(c)[0] in "PS" else c for c in text.lower())
    if short_code(lang) == "en":
        plain = _ENGLISH_ARTICLES.sub(" ", plain)
    return plain.split() if spaces_words(lang) else [c for c in plain if not c.isspace()]


def overlap(guess: list[str], gold: list[str]) -> float:
    """F1 of two bags of words; 1 where both are empty."""
    if not guess or not gold:
        return float(guess == gold)
    shared = sum((Counter(guess) & Counter(gold)).values())
    return 2 * shared / (len(guess) + len(gold))
