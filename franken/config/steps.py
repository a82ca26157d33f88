"""The step kinds of a recipe: their fields, what parts they take and what part they give.

Light on purpose: a graph is checked against these classes before torch is imported. What a step
does is in ``franken/steps/<kind>.py``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from franken.config.alignment import AlignmentConfig, GoldAlignment
from franken.config.base_model import BaseModelConfig
from franken.config.checks import at_least, in_range
from franken.config.composition import CompositionConfig, HydraComposition, SpecialRows
from franken.config.data import DataConfig
from franken.config.eval_suite import EvalSuiteConfig
from franken.config.helper_model import HelperModelConfig
from franken.config.inference import DonorKind, InferenceConfig, SelectConfig, Site
from franken.config.init_method import STEP_NEEDS, InitMethodConfig
from franken.config.pack import PackConfig, Rounding
from franken.config.prompts import Portion, PromptsConfig
from franken.config.router import OracleRouter, RouterConfig, TrainedRouter
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
    grid = "grid"
    """Answers and verdicts of a transplant, with scores."""
    layer_pairs = "layer_pairs"
    """One pair of layers per prompt set and language."""
    pack = "pack"
    """A SkillPack."""
    pairs = "pairs"
    """Sentence pairs with a generated side."""


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

    def wanted(self, place: str) -> Part:
        """What the step needs from a reference; ``tables.en`` is one of the field ``tables``."""
        return self.inputs[place.partition(".")[0]]


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
    method: InitMethodConfig = field(default_factory=InitMethodConfig)
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
        if self.composition.name != "swap":
            yield "composition", f"is {self.composition.name!r}; choose composition=swap"
        rows = getattr(self.composition, "special_rows", None)
        if rows == SpecialRows.from_base and self.base is None:
            yield "base", "composition.special_rows=from_base needs the step that made the base"


@dataclass
class HydraStep(StepConfig):
    """Assemble one body and several named tables of the same ancestry (a Hydra LLM)."""

    kind: ClassVar[str] = "hydra"
    inputs: ClassVar[dict[str, Part]] = {"body": Part.model, "tables": Part.model}
    body: str = ""
    tables: dict[str, str] = field(default_factory=lambda: {})
    """Name of a table -> step that gives it (its table of that name, else its only one)."""
    composition: CompositionConfig = field(default_factory=CompositionConfig)

    def references(self) -> dict[str, str]:
        """One reference per table."""
        tables = {f"tables.{name}": step for name, step in self.tables.items()}
        return {"body": self.body, **tables}

    def faults(self) -> Iterator[tuple[str, str]]:
        if not isinstance(self.composition, HydraComposition):
            yield "composition", f"is {self.composition.name!r}; choose composition=hydra"
            return
        if not self.tables:
            yield "tables", "names no table; give at least one, e.g. {source: base}"
        named = {
            **{f"languages.{k}": v for k, v in self.composition.languages.items()},
            **{f"scripts.{k}": k for k in self.composition.scripts},
        }
        if self.composition.default is not None:
            named["default"] = self.composition.default
        for key, table in named.items():
            if self.tables and table not in self.tables:
                yield (
                    f"composition.{key}",
                    f"names the table {table!r}; tables: {', '.join(self.tables)}",
                )


@dataclass
class SelectTableStep(StepConfig):
    """The ordinary model that reads and writes one table of a Hydra LLM; references only."""

    kind: ClassVar[str] = "select_table"
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model}
    model: str = ""
    table: str = ""


@dataclass
class HydraTrainStep(StepConfig):
    """Tune a Hydra LLM: sentence pairs are read in one vocabulary and written in another."""

    kind: ClassVar[str] = "hydra_train"
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "pairs": Part.pairs}
    model: str = ""
    tables: list[str] = field(default_factory=list)
    """Tables whose rows are trained; the others stay as they are."""
    trainable: Trainable = Trainable.embeddings
    """``embeddings`` means those of ``tables``, with ``full`` and ``embeddings_and_edge_layers``
    too."""
    directions: list[str] = field(default_factory=lambda: ["to_target"])
    """Of sentence pairs: ``to_target`` (read the source language), ``to_source``; both: in turn."""
    copies: float = 0.0
    """Share of the pairs that are written in the language they are read in: saying it again."""
    prompt: str | None = None
    """Template of the pairs; ``null``: ``data.parallel_template``."""
    pairs: str | None = None
    """A ``back_translate`` step whose pairs stand for the role ``parallel``."""
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "adaptation"
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.trainable is Trainable.lora:
            yield "trainable", "cannot be lora for a Hydra LLM; train before tables are joined"
        rows = (Trainable.embeddings, Trainable.embeddings_and_edge_layers)
        if self.trainable in rows and not self.tables:
            yield "tables", f"names no table, but trainable={self.trainable} trains tables"
        valid = ("to_target", "to_source")
        if not self.directions or not set(self.directions) <= set(valid):
            yield "directions", f"must be some of {', '.join(valid)}; got {self.directions}"
        yield from in_range("copies", self.copies, 0.0, 1.0)
        if self.prompt is not None and "{to_text}" not in self.prompt:
            yield "prompt", f"lacks {{to_text}}; got {self.prompt!r}"


@dataclass
class BackTranslateStep(StepConfig):
    """Translate target-language text into the source language; pairs with a genuine target side."""

    kind: ClassVar[str] = "back_translate"
    output: ClassVar[Part] = Part.pairs
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model}
    model: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    role: str = "monolingual"
    sentences: int = 2000
    """Per language; the first ones of the role."""
    prompt: str | None = None
    """Template; ``null``: ``data.parallel_template``."""
    beams: int = 1
    temperature: float = 0.0
    """0: the most likely tokens; above: sampled at this temperature."""
    max_new_tokens: int = 64
    batch_size: int = 64
    """Sentences decoded together."""
    stop: str = "\n"
    """Generations are cut at the first occurrence."""

    def faults(self) -> Iterator[tuple[str, str]]:
        for key in ("sentences", "beams", "max_new_tokens", "batch_size"):
            yield from at_least(key, getattr(self, key), 1)
        yield from at_least("temperature", self.temperature, 0.0)
        if self.beams > 1 and self.temperature > 0:
            yield "beams", "cannot go with temperature > 0; choose one"
        if self.role not in ("monolingual", "documents"):
            yield "role", f"must be monolingual or documents, got {self.role!r}"


class MergeMethod(StrEnum):
    """How several packs become one change."""

    sum = "sum"
    """Weighted sum (task arithmetic, with weights below 1)."""
    average = "average"
    """Weighted mean."""
    ties = "ties"
    """Trim, elect a sign, mean of those that agree (Yadav et al. 2023)."""
    dare = "dare"
    """Random entries of each, rescaled, then the weighted sum (Yu et al. 2024)."""


class TableGraft(StrEnum):
    """What becomes of the table when a pack brings a vocabulary of its own."""

    relative = "relative"
    """``M E + R``: the receiver's own rows through the pack's token map, plus the residual."""
    absolute = "absolute"
    """``M E_B + R``: the rows of the model the pack was made from (Franken-Adapter's swap)."""


@dataclass
class PackStep(StepConfig):
    """Compress the difference of two models into a SkillPack."""

    kind: ClassVar[str] = "pack"
    output: ClassVar[Part] = Part.pack
    inputs: ClassVar[dict[str, Part]] = {
        "base": Part.model, "tuned": Part.model, "initial": Part.model,
    }  # fmt: skip
    base: str = ""
    tuned: str = ""
    initial: str | None = None
    """A language pack: the ``initialise`` step whose token map led from the base's vocabulary to
    the tuned model's."""
    pack: PackConfig = field(default_factory=PackConfig)
    data: DataConfig | None = None
    """Calibration text of GPTQ."""
    split: str = "instructions"

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.pack.quant.method is Rounding.gptq and self.data is None:
            yield "data", "is missing: pack.quant.method=gptq calibrates on text"


@dataclass
class GraftStep(StepConfig):
    """Put SkillPacks on a model."""

    kind: ClassVar[str] = "graft"
    inputs: ClassVar[dict[str, Part]] = {
        "model": Part.model, "packs": Part.pack, "base": Part.model,
    }  # fmt: skip
    model: str = ""
    packs: dict[str, str] = field(default_factory=lambda: {})
    """Name of a pack -> step that gives it."""
    weights: dict[str, float] = field(default_factory=lambda: {})
    """Name of a pack -> factor; 1 where none is given."""
    merge: MergeMethod = MergeMethod.sum
    density: float = 0.2
    """ties, dare: share of every pack's entries that is kept."""
    table: TableGraft = TableGraft.relative
    base: str | None = None
    """Needed by ``table: absolute``: the model that the pack was made on."""
    body_scale: float = 1.0
    """Language packs: factor of the change of the body; 0 grafts the vocabulary alone."""
    materialise: bool = False
    """Write the sum as a new body instead of referring to the packs; needed to train on it. Without
    packs the model's own adapters go into its body."""

    def references(self) -> dict[str, str]:
        """One reference per pack."""
        base = {} if self.base is None else {"base": self.base}
        return {"model": self.model, **base, **{f"packs.{k}": v for k, v in self.packs.items()}}

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.packs and not self.materialise:
            yield "packs", "names no pack; give at least one, e.g. {skill: packed}"
        for name in self.weights:
            if name not in self.packs:
                yield f"weights.{name}", f"is no pack; packs: {', '.join(self.packs)}"
        if self.table is TableGraft.absolute and self.base is None:
            yield "base", "table=absolute needs the step that made the packs' base"
        yield from in_range("density", self.density, 0.0, 1.0)


@dataclass
class RouteStep(StepConfig):
    """One model with several SkillPacks and a router that picks among them."""

    kind: ClassVar[str] = "route"
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "packs": Part.pack}
    model: str = ""
    packs: dict[str, str] = field(default_factory=lambda: {})
    router: RouterConfig = field(default_factory=RouterConfig)
    by_task: bool = False
    """Let ``tasks`` decide whatever router is chosen (the oracle beside a router in one recipe)."""
    tasks: dict[str, str] = field(default_factory=lambda: {})
    """oracle: ``task``, ``task@language`` or ``@language`` -> pack; others get none."""
    data: DataConfig | None = None
    """What a trained router learns from."""
    split: str = "instructions"
    language_share: float = 0.0
    """Share of monolingual target-language text among the router's examples."""

    def references(self) -> dict[str, str]:
        """One reference per pack."""
        return {"model": self.model, **{f"packs.{k}": v for k, v in self.packs.items()}}

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.packs:
            yield "packs", "names no pack; give at least one, e.g. {skill: packed}"
        for task, pack in self.tasks.items():
            if pack not in self.packs:
                yield f"tasks.{task}", f"names the pack {pack!r}; packs: {', '.join(self.packs)}"
        if (self.by_task or isinstance(self.router, OracleRouter)) and not self.tasks:
            yield "tasks", "is empty, but router=oracle needs to be told which task has which pack"
        trained = isinstance(self.router, TrainedRouter) and not self.by_task
        if trained and self.data is None:
            yield "data", f"is missing: router={self.router.name} is trained on instructions"
        yield from in_range("language_share", self.language_share, 0.0, 1.0)


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
class TransplantStep(StepConfig):
    """Answer aligned prompts under an inference option; holds scores of its own."""

    kind: ClassVar[str] = "transplant"
    output: ClassVar[Part] = Part.grid
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "pairs": Part.layer_pairs}
    model: str = ""
    pairs: str | None = None
    """A step that chose a pair per set and language; it takes the place of ``inference.pairs``."""
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    data: DataConfig = field(default_factory=DataConfig)
    portion: Portion = Portion.pilot
    donor: DonorKind | None = None
    """Takes the place of ``inference.donor``: the controls of one recipe. They repeat neither the
    sampled answers nor the baselines, but for vanilla."""
    site: Site | None = None
    """Takes the place of ``inference.site``."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.prompts.sets:
            yield "prompts", "holds no set; choose prompts=NAME"
        if self.pairs is not None and self.inference.name == "none":
            yield "pairs", "are used by inference=xtransplant, not by inference=none"


@dataclass
class SelectPairsStep(StepConfig):
    """Choose one pair of layers per set and language on the runs of a pilot part."""

    kind: ClassVar[str] = "select_pairs"
    output: ClassVar[Part] = Part.layer_pairs
    inputs: ClassVar[dict[str, Part]] = {"grid": Part.grid}
    grid: str = ""
    select: SelectConfig = field(default_factory=SelectConfig)


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
        TrainStep, SwapStep, HydraStep, SelectTableStep, HydraTrainStep, BackTranslateStep,
        TransplantStep, SelectPairsStep, PackStep, GraftStep, RouteStep, EvaluateStep, ExportStep,
    )
}  # fmt: skip
