"""Summaries: generation, chrF (Trans-Tokenization T3) and chrF++ against the reference."""

from __future__ import annotations

from typing import ClassVar

from franken.lazy import later
from franken.tasks.base import EvalTask, task_kind

with later():
    from franken.eval_suite.generated import generated
    from franken.eval_suite.suite import TaskRun
    from franken.tasks.translation import score_texts


@task_kind
class Summary(EvalTask):
    """Generation, chrF and chrF++ against a reference summary."""

    schemas: ClassVar[tuple[str, ...]] = ("xlsum",)

    def run(self, task: TaskRun) -> None:
        """Summarise each text in its own language; other lengths of summary are not penalised."""
        for lang, items, results in generated(
            task, lambda item: item.fields, lambda item: item.answers[0]
        ):
            for item, result in zip(items, results, strict=True):
                result["reference"] = item.answers[0]
            score_texts(task, lang, ("chrf", "chrf++"), results)
            task.keep(results)
