"""The step kinds of a recipe: their fields, what parts they take and what part they give.

Light on purpose: a graph is checked against these classes before torch is imported. What a step
does is in ``franken/steps/<kind>.py``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from franken.config.alignment import AlignmentConfig
from franken.config.base_model import BaseModelConfig
from franken.config.composition import CompositionConfig, SpecialRows
from franken.config.data import DataConfig
from franken.config.eval_suite import EvalSuiteConfig
from franken.config.helper_model import HelperModelConfig
from franken.config.init_method import STEP_NEEDS, InitMethodConfig
from franken.config.training import Trainable, TrainingConfig
from franken.config.vocab import VocabConfig
from franken.config.word_vectors import VectorUnit, WordVectorsConfig


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

    def references(self) -> dict[str, str]:
        """Field -> name of the step it refers to; unset optional references are left out."""
        return {
            name: getattr(self, name) for name in self.inputs if getattr(self, name) is not None
        }


@dataclass
class LoadStep(StepConfig):
    """Read a checkpoint in transformers layout."""

    kind: ClassVar[str] = "load"
    inputs: ClassVar[dict[str, Part]] = {"relative_of": Part.model}
    model: BaseModelConfig = field(default_factory=BaseModelConfig)
    relative_of: str | None = None
    """A step whose model this checkpoint was fine-tuned from: gives it that model's ancestry, so
    that tables of the one fit the other."""
    data: DataConfig | None = None
    """Not read; here so that one recipe line serves ``load`` and ``pretrain``."""
    training: TrainingConfig | None = None
    """Not read, as ``data``."""


@dataclass
class PretrainStep(StepConfig):
    """Train a tokenizer and a small model from random weights."""

    kind: ClassVar[str] = "pretrain"
    model: BaseModelConfig = field(default_factory=BaseModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "pretraining"
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass
class BuildVocabStep(StepConfig):
    """Make the tokenizer of the adapted model."""

    kind: ClassVar[str] = "build_vocab"
    output: ClassVar[Part] = Part.vocabulary
    inputs: ClassVar[dict[str, Part]] = {"base": Part.model}
    base: str = ""
    vocab: VocabConfig = field(default_factory=VocabConfig)
    data: DataConfig = field(default_factory=DataConfig)


@dataclass
class AlignStep(StepConfig):
    """Count word pairs in the parallel text of every target language."""

    kind: ClassVar[str] = "align"
    output: ClassVar[Part] = Part.alignment
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    data: DataConfig = field(default_factory=DataConfig)


@dataclass
class VectorsStep(StepConfig):
    """Train or read static vectors."""

    kind: ClassVar[str] = "vectors"
    output: ClassVar[Part] = Part.vectors
    inputs: ClassVar[dict[str, Part]] = {"base": Part.model, "tokenizer": Part.vocabulary}
    unit: VectorUnit = VectorUnit.words
    base: str | None = None
    """Whose tokenizer cuts the text for ``unit: pieces``, beside the target's."""
    tokenizer: str | None = None
    vectors: WordVectorsConfig = field(default_factory=WordVectorsConfig)
    data: DataConfig = field(default_factory=DataConfig)

    def references(self) -> dict[str, str]:
        """Vectors of words depend on no tokenizer."""
        return super().references() if self.unit is VectorUnit.pieces else {}

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.unit is VectorUnit.pieces and not (self.base and self.tokenizer):
            yield "unit", "pieces needs the steps named by base and tokenizer"


@dataclass
class HelperStep(StepConfig):
    """Train or read a model of the target languages over the target tokenizer."""

    kind: ClassVar[str] = "helper"
    output: ClassVar[Part] = Part.helper
    inputs: ClassVar[dict[str, Part]] = {"tokenizer": Part.vocabulary}
    tokenizer: str = ""
    helper: HelperModelConfig = field(default_factory=HelperModelConfig)
    data: DataConfig = field(default_factory=DataConfig)


@dataclass
class InitialiseStep(StepConfig):
    """Make the first rows of a table for a new tokenizer."""

    kind: ClassVar[str] = "initialise"
    inputs: ClassVar[dict[str, Part]] = {
        "base": Part.model, "tokenizer": Part.vocabulary, "alignment": Part.alignment,
        "word_vectors": Part.vectors, "piece_vectors": Part.vectors, "helper": Part.helper,
    }  # fmt: skip
    base: str = ""
    tokenizer: str = ""
    method: InitMethodConfig = field(default_factory=InitMethodConfig)
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "adaptation"
    """What a learned method trains on."""
    alignment: str | None = None
    word_vectors: str | None = None
    piece_vectors: str | None = None
    helper: str | None = None

    def references(self) -> dict[str, str]:
        """Only the side resources that the method needs: the others are never made."""
        unused = set(map(str, STEP_NEEDS)) - set(map(str, self.method.needs()))
        return {k: v for k, v in super().references().items() if k not in unused}

    def faults(self) -> Iterator[tuple[str, str]]:
        for need in self.method.needs():
            if need in STEP_NEEDS and getattr(self, str(need)) is None:
                yield (
                    str(need),
                    f"is missing: init_method={self.method.name} needs the step that makes it",
                )


@dataclass
class TrainStep(StepConfig):
    """Tune part of a model on one split of the data."""

    kind: ClassVar[str] = "train"
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model}
    model: str = ""
    trainable: Trainable = Trainable.embeddings
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "adaptation"
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass
class SwapStep(StepConfig):
    """Put the table of one model on the body of another of the same ancestry."""

    kind: ClassVar[str] = "swap"
    inputs: ClassVar[dict[str, Part]] = {
        "body": Part.model, "table": Part.model, "base": Part.model,
    }  # fmt: skip
    body: str = ""
    table: str = ""
    base: str | None = None
    """Needed by ``special_rows: from_base``."""
    composition: CompositionConfig = field(default_factory=CompositionConfig)

    def faults(self) -> Iterator[tuple[str, str]]:
        rows = getattr(self.composition, "special_rows", None)
        if rows == SpecialRows.from_base and self.base is None:
            yield "base", "composition.special_rows=from_base needs the step that made the base"


@dataclass
class EvaluateStep(StepConfig):
    """Score a model with a suite. Made for every name under ``recipe.evaluate``."""

    kind: ClassVar[str] = "evaluate"
    output: ClassVar[Part] = Part.scores
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model}
    model: str = ""
    suite: EvalSuiteConfig = field(default_factory=EvalSuiteConfig)
    data: DataConfig = field(default_factory=DataConfig)


@dataclass
class ExportStep(StepConfig):
    """Write a model as a plain checkpoint. Made for every name under ``recipe.export``."""

    kind: ClassVar[str] = "export"
    output: ClassVar[Part] = Part.checkpoint
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "scores": Part.scores}
    model: str = ""
    scores: str | None = None
    """The evaluation whose figures the model card shows."""
    recipe: str = ""
    """Name of the recipe, for the card."""


STEP_KINDS: dict[str, type[StepConfig]] = {
    cls.kind: cls
    for cls in (
        LoadStep, PretrainStep, BuildVocabStep, AlignStep, VectorsStep, HelperStep, InitialiseStep,
        TrainStep, SwapStep, EvaluateStep, ExportStep,
    )
}  # fmt: skip
