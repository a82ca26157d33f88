"""The whole config of one job."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from franken.alignment.base import Alignment
from franken.composition.base import Composition
from franken.config.base_model import BaseModelConfig, Donor
from franken.config.checks import at_least
from franken.config.data import DataConfig
from franken.config.eval_suite import SuiteConfig
from franken.config.pack import PackConfig
from franken.config.prompts import PromptsConfig
from franken.config.recipe import RecipeConfig
from franken.config.runtime import StoreConfig, SweepConfig
from franken.config.trainer import TrainerConfig
from franken.config.training import TrainingSet
from franken.distillation.base import Distillation
from franken.helper_model.base import HelperModel
from franken.inference.base import Inference
from franken.init_method.base import InitMethod
from franken.logger.base import CurveLogger
from franken.pair_loss.base import PairLoss
from franken.preference.base import Preference
from franken.router.base import Router
from franken.vocab.base import Vocab
from franken.word_vectors.base import WordVectors


@dataclass
class Config:
    """One job: the options of every group and what identifies the run."""

    base_model: BaseModelConfig = field(default_factory=BaseModelConfig)
    donor: Donor = field(default_factory=Donor)
    """``donor.path=DIR_OR_HUB_ID``: a ready tuning of the base for the step ``recipe.donor``."""
    vocab: Vocab = field(default_factory=Vocab)
    init_method: InitMethod = field(default_factory=InitMethod)
    alignment: Alignment = field(default_factory=Alignment)
    word_vectors: WordVectors = field(default_factory=WordVectors)
    helper_model: HelperModel = field(default_factory=HelperModel)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingSet = field(default_factory=TrainingSet)
    preference: Preference = field(default_factory=Preference)
    distillation: Distillation = field(default_factory=Distillation)
    pair_loss: PairLoss = field(default_factory=PairLoss)
    composition: Composition = field(default_factory=Composition)
    pack: PackConfig = field(default_factory=PackConfig)
    router: Router = field(default_factory=Router)
    inference: Inference = field(default_factory=Inference)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    eval_suite: SuiteConfig = field(default_factory=SuiteConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: CurveLogger = field(default_factory=CurveLogger)
    store: StoreConfig = field(default_factory=StoreConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    experiment: str = "adhoc"
    """Name under which results are grouped; an experiment file sets it to its own name."""
    variant: str = ""
    """What distinguishes this job in a grid, e.g. ``${init_method.name}``."""
    seed: int = 0
    """Seeds training, sampling and initialisation; enters every key that uses it."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("seed", self.seed, 0)
