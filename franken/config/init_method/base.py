"""What every option of the group ``init_method`` has."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import at_least


class Fallback(StrEnum):
    """Rule for rows that a method cannot compute."""

    mean = "mean"
    normal = "normal"
    """N(mean, std per dimension) of the source rows."""
    normal_scalar = "normal_scalar"
    """N(mean, one std for all dimensions, the root mean square of theirs)."""
    multivariate = "multivariate"
    subtoken_mean = "subtoken_mean"


class Need(StrEnum):
    """Side resources that a method may ask for; each is a step of the recipe, run when needed."""

    lexicon = "lexicon"
    """Role of the data; no step."""
    alignment = "alignment"
    """Word-pair counts from parallel text (step ``align``)."""
    gold_alignment = "gold_alignment"
    """The same from links that come with the data (step ``align`` with ``gold``)."""
    word_vectors = "word_vectors"
    """Static vectors of words, one space per language (step ``vectors``, unit words)."""
    piece_vectors = "piece_vectors"
    """Static vectors of pieces of the target text (step ``vectors``, unit pieces)."""
    helper = "helper"
    """The table of a target-language model (step ``helper``)."""


STEP_NEEDS = (
    Need.alignment, Need.gold_alignment, Need.word_vectors, Need.piece_vectors, Need.helper,
)  # fmt: skip


@dataclass
class InitMethodConfig:
    """What every initialiser has."""

    learned: ClassVar[bool] = False
    """Whether rows are trained after the map was applied."""
    map_says_all: ClassVar[bool] = True
    """Whether the token map alone makes the rows; false where the method has rows of its own."""
    version: ClassVar[int] = 1
    """Code version of the method: raised when a change of its code changes rows, so that keys of
    its ``initialise`` steps change and those of the others do not."""

    name: str = "subtoken_mean"
    copy_overlap: bool = True
    """Rows whose canonical bytes the source vocabulary also has are copied."""
    noise_std: float = 0.0
    """Gaussian noise on computed rows, in units of the source table's mean per-dimension std."""
    norm_match: bool = False
    """Rescale computed rows to the mean norm of the source rows (spec 9.4)."""

    def needs(self) -> frozenset[Need]:
        """Side resources that these options ask for."""
        return frozenset()

    def paths(self) -> dict[str, str]:
        """Field -> file or directory that these options read: its content is in the step's key."""
        return {}

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("noise_std", self.noise_std, 0.0)
