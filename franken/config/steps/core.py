"""What every step kind has in common."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


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
class StepConfig:
    """Common to every kind.

    ``inputs`` maps the fields that hold names of other steps to the part that these must give.
    """

    step: str = ""
    kind: ClassVar[str] = ""
    version: ClassVar[int] = 1
    """Code version: raised when a change of the code changes results, so that keys change."""
    output: ClassVar[Part] = Part.model
    inputs: ClassVar[dict[str, Part]] = {}
    takes_hydra: ClassVar[tuple[str, ...]] = ()
    """Inputs that may be a Hydra LLM; any other input of a model needs one with a single table."""

    def references(self) -> dict[str, str]:
        """Field -> name of the step it refers to; unset optional references are left out."""
        return {
            name: getattr(self, name) for name in self.inputs if getattr(self, name) is not None
        }

    def wanted(self, place: str) -> Part:
        """What the step needs from a reference; ``tables.en`` is one of the field ``tables``."""
        return self.inputs[place.partition(".")[0]]
