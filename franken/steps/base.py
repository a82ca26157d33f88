"""What a step kind is, and how kinds are found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, dataclass_transform

from franken.declare import declare, options

if TYPE_CHECKING:
    from franken.config.root import Config
    from franken.data import DataSource
    from franken.steps.common.context import StepContext


HERE = "here"
"""In ``model.json``: a part that the step itself made."""


class Part(StrEnum):
    """What a step gives to the steps that name it."""

    model = "model"
    """A body with a table (and deltas): references, see franken/steps/models.py."""
    vocabulary = "vocabulary"
    """A tokenizer without rows."""
    scores = "scores"
    checkpoint = "checkpoint"
    alignment = "alignment"
    """Word-pair counts, one table per target language."""
    vectors = "vectors"
    """Static word or piece vectors."""
    helper = "helper"
    """The table of a target-language model."""
    grid = "grid"
    """Answers and verdicts of a transplant, with scores."""
    layer_pairs = "layer_pairs"
    """One pair of layers per prompt set and language."""
    pack = "pack"
    """A SkillPack."""
    pairs = "pairs"
    """Sentence pairs with a generated side."""
    answers = "answers"
    """What a model answered to prompts, several times each."""
    preferences = "preferences"
    """Pairs of a preferred and a rejected answer, and the best answers."""


@dataclass
class Step:
    """What every kind has: options of the step, what it takes and gives, its key, its run.

    ``inputs`` maps the fields that hold names of other steps to the part that these must give.
    """

    step: str = ""
    """The kind."""
    kind: ClassVar[str] = ""
    version: ClassVar[int] = 1
    """Code version: raised when a change of the code changes results, so that keys change."""
    seeded: ClassVar[bool] = True
    """Whether the seed enters the key: numbers are drawn, or trained on in a drawn order."""
    output: ClassVar[Part] = Part.model
    inputs: ClassVar[dict[str, Part]] = {}
    takes_hydra: ClassVar[tuple[str, ...]] = ()
    """Inputs that may be a Hydra LLM; any other input of a model needs one with a single table."""

    def capabilities(self) -> tuple[str, ...]:
        """What its models' family must allow, by the names of ``franken.families``."""
        return ()

    def references(self) -> dict[str, str]:
        """Field -> name of the step it refers to; unset optional references are left out."""
        return {
            name: getattr(self, name) for name in self.inputs if getattr(self, name) is not None
        }

    def wanted(self, place: str) -> Part:
        """What the step needs from a reference; ``tables.en`` is one of the field ``tables``."""
        return self.inputs[place.partition(".")[0]]

    def side_steps(self, config: Config) -> dict[str, Step]:
        """Place -> a further step that this one needs and the recipe does not name."""
        return {}

    def take_side_step(self, place: str, name: str) -> None:
        """Refer to the step of this name, which was added for :meth:`side_steps`."""
        raise NotImplementedError

    def key(self, config: Config) -> dict[str, Any]:
        """The part of the options that can change the result, and nothing else.

        Paths, worker counts, batch sizes that only tile the same sum, logging and the intervals of
        checkpoints stay out; precision is in. Kind, version, inputs and seed are added to it.

        Raises:
            DataError: when a file that counts by its content is not there.
        """
        raise NotImplementedError(f"the step kind {self.kind!r} does not say what enters its key")

    def check(self, data: DataSource) -> None:
        """Look at the data before any step is run.

        Raises:
            DataError: where it cannot serve.
        """

    def run(self, context: StepContext) -> dict[str, Any] | None:
        """Write the artefact; returns what its manifest shall say."""
        raise NotImplementedError(f"the step kind {self.kind!r} does nothing")


_Kind = TypeVar("_Kind", bound=type[Step])


@dataclass_transform()
def step(cls: _Kind) -> _Kind:
    """Make a class a step kind: a dataclass, whose kind is the name of its module."""
    kind = cls.__module__.rpartition(".")[2]
    cls.kind = kind
    made: _Kind = declare(cls, kind)
    return made


def step_kinds() -> dict[str, type[Step]]:
    """Kind -> class, those of other packages (entry points of ``franken.steps``) included."""
    return options("steps")
