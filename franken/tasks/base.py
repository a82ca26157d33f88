"""What every kind of evaluation task says of itself."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from franken.data.source import TEXT_STREAMS
from franken.declare import declare, find

if TYPE_CHECKING:
    from franken.eval_suite.suite import TaskRun


class Guesses(StrEnum):
    """What a model guesses."""

    next = "next"
    hidden = "hidden"
    either = "either"
    labels = "labels"
    """Labels of texts or words, by a head."""


class EvalTask:
    """Scores a model on one task of a suite."""

    kind: ClassVar[str] = ""
    """What suites call it; where nothing is said, the name of the module."""
    reads_text: ClassVar[bool] = False
    """Whether it reads held-out text of a role instead of an evaluation set, without a prompt."""
    roles: ClassVar[tuple[str, ...]] = TEXT_STREAMS
    """Of which roles, where it reads text."""
    prompted: ClassVar[bool] = True
    """Whether it puts items into a prompt template; those that read text never do."""
    guesses: ClassVar[Guesses] = Guesses.next
    """Which models it scores, by what they guess."""
    schemas: ClassVar[tuple[str, ...]] = ()
    """Schemas of evaluation sets whose items it can read; empty: all."""

    def run(self, task: TaskRun) -> None:
        """Score the task in each of its languages: ``task.read``, then ``task.score``.

        Args:
            task: options, data, the model's encoder and forward pass, and where scores go.
        """
        raise NotImplementedError(f"the task kind {self.kind!r} scores nothing")


_Kind = TypeVar("_Kind", bound=type[EvalTask])


def task_kind(cls: _Kind) -> _Kind:
    """Make a class a kind of task."""
    cls.kind = str(vars(cls).get("kind") or cls.__module__.rpartition(".")[2])
    made: _Kind = declare(cls, cls.kind)
    return made


def kind_of(name: str) -> EvalTask:
    """The kind of a name.

    Raises:
        ConfigError: for an unknown one.
    """
    found: Any = find("tasks", name)()
    made: EvalTask = found
    return made
