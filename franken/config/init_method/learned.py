"""Options of initialisers that train the rows after a first map."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import at_least, hint
from franken.config.init_method.base import InitMethodConfig, Need
from franken.config.training import Schedule, TrainingConfig


@dataclass
class LearnedInit(InitMethodConfig):
    """What the learned initialisers share: a start map, and a short training on target text."""

    learned: ClassVar[bool] = True

    start: str = "subtoken_mean"
    """The init_method, with its default options, whose map is the start."""

    def start_options(self) -> InitMethodConfig:
        """Options of the start map."""
        from franken.config.init_method import OPTIONS

        options = OPTIONS[self.start]()
        options.copy_overlap &= self.copy_overlap
        options.noise_std, options.norm_match = self.noise_std, self.norm_match
        return options

    def needs(self) -> frozenset[Need]:
        return self.start_options().needs() if self._known_start() else frozenset()

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if not self._known_start():
            from franken.config.init_method import OPTIONS

            names = [name for name, option in OPTIONS.items() if _can_start(option)]
            yield "start", f"no map can start from {self.start!r}.{hint(self.start, names)}"

    def _known_start(self) -> bool:
        from franken.config.init_method import OPTIONS

        return self.start in OPTIONS and _can_start(OPTIONS[self.start])


def _can_start(option: type[InitMethodConfig]) -> bool:
    """Methods that train, whose rows are more than a map, or that must name files are no start."""
    return not option.learned and option.map_says_all and not option().paths()


@dataclass
class RetokInit(LearnedInit):
    """Train input and output rows alone on target text, from a start map (ReTok)."""

    name: str = "retok"
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            steps=100, batch_size=16, lr=1e-3, schedule=Schedule.cosine, warmup=0.05
        )
    )
    """Schedule of the training, on the adaptation split."""


NO_SUMS = ("embedding_structure", "subtoken_max")
"""Maps with draws by class, or with maxima."""


@dataclass
class VocadtInit(LearnedInit):
    """Train the weights of the map itself; the model and the source rows are frozen (VocADT)."""

    name: str = "vocadt"
    aux_alpha: float = 0.1
    """Weight of the auxiliary loss, which keeps shared pieces near their source rows; the paper has
    0.1 for languages of other scripts and 0 for Latin ones."""
    tie_in_out: bool = False
    """One set of weights for input and output embeddings of untied models."""
    neighbours: int = 8
    """Source rows nearest to the start that each new row may draw on beside its own, with weight 0
    at the start: the whole source vocabulary, as in the paper, is too many."""
    random_support: int = 8
    """Source rows, drawn at random, of a piece that the start has none for."""
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            steps=100, batch_size=16, lr=1e-2, schedule=Schedule.cosine, warmup=0.05
        )
    )
    """Schedule of the training, on the adaptation split; only ``edge_layers``, ``lora``,
    ``freeze_special_rows`` and ``validate_every`` mean nothing here."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("aux_alpha", self.aux_alpha, 0.0)
        yield from at_least("neighbours", self.neighbours, 0)
        yield from at_least("random_support", self.random_support, 1)
        if self.start in NO_SUMS:
            yield "start", f"{self.start} has rows that are no weighted sums: no weights to train"
        if self.noise_std or self.norm_match:
            yield "noise_std", "and norm_match are no weights of a map, so vocadt cannot train them"


class DistilTarget(StrEnum):
    """What the student shall reproduce."""

    hidden = "hidden"
    """Hidden states of one layer (mean squared difference)."""
    logits = "logits"
    """The distribution over the source vocabulary (Kullback-Leibler divergence)."""


@dataclass
class TokenDistillationInit(LearnedInit):
    """Train new input rows so that the model reads them as it reads their old pieces."""

    name: str = "token_distillation"
    target: DistilTarget = DistilTarget.hidden
    layer: int = -1
    """Layer whose states are compared: -1 is the last (after the final norm), 0 the embeddings."""
    cross_entropy: bool = False
    """Add the loss of predicting the new tokens, weighted to equal the distillation loss: trains
    the head's rows of untied models, which keep the start otherwise."""
    snippet_tokens: int = 50
    """Source tokens of one snippet of text."""
    snippets: int = 25
    """Snippets read per new token, at most (paper 25, release 100)."""
    min_snippets: int = 1
    """New tokens with fewer snippets keep the start."""
    megabytes: float = 50.0
    """Text searched per target language."""
    epochs: int = 1
    batch_size: int = 16
    """Snippets per step."""
    lr: float = 1e-3
    """The release has 1e-4, for models whose rows are smaller."""
    warmup: float = 0.1
    """Warm-up as a share of the steps; then linear decay, as in the paper."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        for key, minimum in (
            ("snippet_tokens", 2), ("snippets", 1), ("min_snippets", 1), ("epochs", 1),
            ("batch_size", 1), ("lr", 0.0), ("megabytes", 0.0),
        ):  # fmt: skip
            yield from at_least(key, getattr(self, key), minimum)


OPTIONS: dict[str, type[InitMethodConfig]] = {
    "vocadt": VocadtInit,
    "token_distillation": TokenDistillationInit,
    "retok": RetokInit,
}
