"""Labels of words, given by a head: names, parts of speech."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from franken.lazy import later
from franken.tasks.base import EvalTask, Guesses, task_kind

with later():
    from franken.eval_suite.labelling import label
    from franken.eval_suite.suite import TaskRun
    from franken.statistics import Units

Name = tuple[str, int, int]
"""Kind of a name, its first word, and the one behind its last."""
OUTSIDE = "O"


@task_kind
class TokenLabels(EvalTask):
    """Labels of words by a head that was trained on them."""

    schemas: ClassVar[tuple[str, ...]] = ("tagged",)
    guesses: ClassVar[Guesses] = Guesses.labels
    prompted: ClassVar[bool] = False

    def run(self, task: TaskRun) -> None:
        """``acc``: the share of words with the right label; ``name_f1`` where labels say some.

        A word's label is said at its first token; words that do not fit into the model count as
        wrong. ``name_f1`` (``B-PER``, ``I-PER``, ``O``) is of whole names, over all sentences
        together, as conlleval counts them. The standard errors treat sentences as the independent
        units.
        """
        known = set(task.data.task_languages(task.config.source))
        for lang in task.languages(known.__contains__):
            answers = label(task, lang)
            ids = [answer.text.id for answer in answers]
            pairs = [(answer.text.labels, answer.said) for answer in answers]
            right = [sum(a == b for a, b in zip(own, said, strict=True)) for own, said in pairs]
            task.score(lang, "acc", Units.of(ids, right, [len(own) for own, _ in pairs]))
            counts = [agreement(own, _told(said)) for own, said in pairs]
            if any(tag.startswith("B-") for own, _ in pairs for tag in own):
                shared = [2 * both for both, _ in counts]
                task.score(lang, "name_f1", Units.of(ids, shared, [whole for _, whole in counts]))
            task.keep([answer.item(lang) for answer in answers])


def _told(said: Sequence[str | None]) -> list[str]:
    return [OUTSIDE if one is None else one for one in said]


def agreement(own: Sequence[str], said: Sequence[str]) -> tuple[int, int]:
    """Names in both, and names in one plus names in the other: F1 is twice the ratio."""
    first, second = names(own), names(said)
    return len(first & second), len(first) + len(second)


def names(tags: Sequence[str]) -> set[Name]:
    """Names in a sentence: ``B-X`` begins one, so does ``I-X`` behind another kind or ``O``."""
    found: set[Name] = set()
    kind, start = "", 0
    for at, tag in enumerate([*tags, OUTSIDE]):
        mark, _, of = tag.partition("-")
        goes_on = mark == "I" and of == kind
        if kind and not goes_on:
            found.add((kind, start, at))
        if not goes_on:
            kind, start = (of if mark in ("B", "I") else ""), at
    return found
