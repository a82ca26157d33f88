"""How much of a vocabulary a language has, and how much of it is another language's too.

Limisiewicz et al., Findings of ACL 2023, arXiv 2305.17179.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from franken.lazy import later
from franken.tasks.base import EvalTask, Guesses, task_kind

with later():
    from franken.eval_suite.suite import TaskRun
    from franken.statistics import Units
    from franken.tokenizer.quality import average_rank, divergence


@task_kind
class VocabularyAllocation(EvalTask):
    """Average rank of tokens, characters per token, divergence from the source language."""

    reads_text: ClassVar[bool] = True
    guesses: ClassVar[Guesses] = Guesses.either

    def run(self, task: TaskRun) -> None:
        """Measure the ``valid`` lines of a text role in each language."""
        role = task.config.source
        counts: dict[str, Counter[int]] = {}
        lines_of: dict[str, int] = {}
        for lang in task.languages(lambda lang: task.data.has(role, lang)):
            lines = task.held_out(lang)
            ids = task.encoder.held_out(lines)
            counts[lang] = Counter(token for line in ids for token in line)
            lines_of[lang] = len(lines)
            task.figure(lang, "average_rank", average_rank(counts[lang]), len(lines))
            units = Units.of(
                range(len(lines)), [float(len(line)) for line in lines],
                [float(len(line)) for line in ids],
            )  # fmt: skip
            task.score(lang, "characters_per_token", units)
        source = task.source_language
        for lang in counts:
            if lang != source and source in counts:
                apart = divergence(counts[source], counts[lang])
                task.figure(lang, "divergence_from_source", apart, lines_of[lang])
