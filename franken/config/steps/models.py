"""Steps that read, train, join, score and write models."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from franken.config.base_model import BaseModelConfig
from franken.config.composition import CompositionConfig, SpecialRows
from franken.config.data import DataConfig, FileData
from franken.config.eval_suite import EvalSuiteConfig, SuiteConfig
from franken.config.preference import PreferenceConfig
from franken.config.steps.core import Part, StepConfig
from franken.config.training import Trainable, TrainingConfig


@dataclass
class LoadStep(StepConfig):
    """Read a checkpoint in transformers layout, or a GGUF file."""

    kind: ClassVar[str] = "load"
    version: ClassVar[int] = 2
    inputs: ClassVar[dict[str, Part]] = {"relative_of": Part.model}
    takes_hydra: ClassVar[tuple[str, ...]] = ("relative_of",)
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
class TrainStep(StepConfig):
    """Tune part of a model on one split of the data."""

    kind: ClassVar[str] = "train"
    version: ClassVar[int] = 2
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "ranked": Part.preferences}
    model: str = ""
    trainable: Trainable = Trainable.embeddings
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "adaptation"
    training: TrainingConfig = field(default_factory=TrainingConfig)
    earlier: list[str] = field(default_factory=list)
    """Splits learnt before, on which ``training.anchor_examples`` measures what must not move."""
    preference: PreferenceConfig | None = None
    """Tune on pairs of answers (DPO) instead of next tokens: those of ``ranked``, else of the role
    ``preferences``, of which ``split`` chooses by ``tasks``. The reference is ``model`` itself."""
    ranked: str | None = None
    """A ``rank_answers`` step; without ``preference`` its best answers stand for the role
    ``instructions``."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.training.anchor_examples and not self.earlier:
            yield "earlier", "names no split, but training.anchor_examples measures on some"
        if self.training.anchor_examples and not self.training.anchor:
            yield "training.anchor", "is 0, so anchor_examples weighs a pull that is not there"
        for split in self.earlier:
            if split not in self.data.mixtures:
                known = ", ".join(self.data.mixtures)
                yield "earlier", f"{split!r} is no split of the data; known: {known}"
        if self.preference is not None and self.training.budget is not None:
            yield (
                "training.budget",
                "counts bytes of text, preference tuning pairs; set it to null",
            )
        if self.preference is not None and self.training.anchor_examples:
            yield "training.anchor_examples", "is not there for preference tuning; set it to 0"
        if self.preference is not None and self.training.pack_across_documents:
            yield (
                "training.pack_across_documents",
                "would let a rejected answer read the chosen one",
            )
        offered = isinstance(self.data, FileData) and self.data.preferences
        if self.preference is not None and self.ranked is None and not offered:
            yield (
                "ranked",
                f"is missing: preference={self.preference.name} needs pairs, and data="
                f"{self.data.name} has none under data.preferences; name a rank_answers step",
            )


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
        if self.composition.name != "swap":
            yield "composition", f"is {self.composition.name!r}; choose composition=swap"
        rows = getattr(self.composition, "special_rows", None)
        if rows == SpecialRows.from_base and self.base is None:
            yield "base", "composition.special_rows=from_base needs the step that made the base"


@dataclass
class EvaluateStep(StepConfig):
    """Score a model with a suite. Made for every name under ``recipe.evaluate``."""

    kind: ClassVar[str] = "evaluate"
    version: ClassVar[int] = 3
    output: ClassVar[Part] = Part.scores
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model}
    takes_hydra: ClassVar[tuple[str, ...]] = ("model",)
    model: str = ""
    suite: SuiteConfig = field(default_factory=EvalSuiteConfig)
    data: DataConfig = field(default_factory=DataConfig)


@dataclass
class ExportStep(StepConfig):
    """Write a model as a plain checkpoint. Made for every name under ``recipe.export``."""

    kind: ClassVar[str] = "export"
    output: ClassVar[Part] = Part.checkpoint
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "scores": Part.scores}
    takes_hydra: ClassVar[tuple[str, ...]] = ("model",)
    model: str = ""
    scores: str | None = None
    """The evaluation whose figures the model card shows."""
    recipe: str = ""
    """Name of the recipe, for the card."""
