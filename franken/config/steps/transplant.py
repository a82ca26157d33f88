"""Steps that answer aligned prompts under an inference option."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from franken.config.data import DataConfig
from franken.config.inference import DonorKind, InferenceConfig, SelectConfig, Site
from franken.config.prompts import Portion, PromptsConfig
from franken.config.steps.core import Part, StepConfig


@dataclass
class TransplantStep(StepConfig):
    """Answer aligned prompts under an inference option; holds scores of its own."""

    kind: ClassVar[str] = "transplant"
    version: ClassVar[int] = 3
    output: ClassVar[Part] = Part.grid
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "pairs": Part.layer_pairs}
    model: str = ""
    pairs: str | None = None
    """A step that chose a pair per set and language; it takes the place of ``inference.pairs``. One
    pair has no budget to compare, so nothing is sampled."""
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
