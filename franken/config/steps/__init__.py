"""The step kinds of a recipe: their fields, what parts they take and what part they give.

Light on purpose: a graph is checked against these classes before torch is imported. What a step
does is in ``franken/steps/<kind>.py``, what of it enters its key in ``franken/steps/keys``.
"""

from franken.config.steps.core import Part, StepConfig
from franken.config.steps.hydra import (
    BackTranslateStep,
    HydraStep,
    HydraTrainStep,
    LoadHydraStep,
    SelectTableStep,
)
from franken.config.steps.models import (
    EvaluateStep,
    ExportStep,
    LoadStep,
    PretrainStep,
    SwapStep,
    TrainStep,
)
from franken.config.steps.preferences import RankAnswersStep, SampleAnswersStep, Scorer
from franken.config.steps.skillpack import GraftStep, MergeMethod, PackStep, RouteStep, TableGraft
from franken.config.steps.transplant import SelectPairsStep, TransplantStep
from franken.config.steps.vocabulary import (
    AlignStep,
    BuildVocabStep,
    HelperStep,
    InitialiseStep,
    VectorsStep,
)

STEP_KINDS: dict[str, type[StepConfig]] = {
    cls.kind: cls
    for cls in (
        LoadStep, PretrainStep, BuildVocabStep, AlignStep, VectorsStep, HelperStep, InitialiseStep,
        TrainStep, SwapStep, LoadHydraStep, HydraStep, SelectTableStep, HydraTrainStep,
        BackTranslateStep, TransplantStep, SelectPairsStep, PackStep, GraftStep, RouteStep,
        SampleAnswersStep, RankAnswersStep, EvaluateStep, ExportStep,
    )
}  # fmt: skip

__all__ = [
    "STEP_KINDS",
    "AlignStep",
    "BackTranslateStep",
    "BuildVocabStep",
    "EvaluateStep",
    "ExportStep",
    "GraftStep",
    "HelperStep",
    "HydraStep",
    "HydraTrainStep",
    "InitialiseStep",
    "LoadHydraStep",
    "LoadStep",
    "MergeMethod",
    "PackStep",
    "Part",
    "PretrainStep",
    "RankAnswersStep",
    "RouteStep",
    "SampleAnswersStep",
    "Scorer",
    "SelectPairsStep",
    "SelectTableStep",
    "StepConfig",
    "SwapStep",
    "TableGraft",
    "TrainStep",
    "TransplantStep",
    "VectorsStep",
]
