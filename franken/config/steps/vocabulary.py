"""Steps that make a vocabulary and the first rows of its table, and what these are made with."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from franken.config.alignment import AlignmentConfig, GoldAlignment
from franken.config.data import DataConfig
from franken.config.helper_model import HelperModelConfig
from franken.config.steps.core import Part, StepConfig
from franken.config.vocab import VocabConfig
from franken.config.word_vectors import VectorUnit, WordVectorsConfig
from franken.init_method.base import STEP_NEEDS, InitMethod


@dataclass
class BuildVocabStep(StepConfig):
    """Make the tokenizer of the adapted model."""

    kind: ClassVar[str] = "build_vocab"
    version: ClassVar[int] = 2
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
    gold: bool = False
    """Count the links that come with the data, whatever ``alignment`` says."""
    data: DataConfig = field(default_factory=DataConfig)

    def __post_init__(self) -> None:
        if self.gold:
            self.alignment = GoldAlignment()


@dataclass
class VectorsStep(StepConfig):
    """Train or read static vectors."""

    kind: ClassVar[str] = "vectors"
    version: ClassVar[int] = 2
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
        "gold_alignment": Part.alignment,
        "word_vectors": Part.vectors, "piece_vectors": Part.vectors, "helper": Part.helper,
    }  # fmt: skip
    base: str = ""
    tokenizer: str = ""
    method: InitMethod = field(default_factory=InitMethod)
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "adaptation"
    """What a learned method trains on."""
    alignment: str | None = None
    gold_alignment: str | None = None
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
