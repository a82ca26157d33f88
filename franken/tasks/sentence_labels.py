"""Labels of whole texts, given by a head (topics)."""

from __future__ import annotations

from typing import ClassVar

from franken.lazy import later
from franken.tasks.base import EvalTask, Guesses, task_kind

with later():
    from franken.eval_suite.labelling import label
    from franken.eval_suite.suite import TaskRun
    from franken.statistics import Units


@task_kind
class SentenceLabels(EvalTask):
    """Label of a text by a head that was trained on them."""

    schemas: ClassVar[tuple[str, ...]] = ("sib200",)
    guesses: ClassVar[Guesses] = Guesses.labels
    prompted: ClassVar[bool] = False

    def run(self, task: TaskRun) -> None:
        """``acc``: the share of texts whose label is the head's first choice."""
        assert task.head is not None, "checked by the suite"
        known = set(task.data.task_languages(task.config.source))
        for lang in task.languages(known.__contains__):
            answers = label(task, lang)
            right = [float(answer.said == answer.text.labels) for answer in answers]
            ids = [answer.text.id for answer in answers]
            chance = 1 / len(task.head.labels.names)
            task.score(lang, "acc", Units.of(ids, right), chance=chance)
            task.keep([answer.item(lang) for answer in answers])
