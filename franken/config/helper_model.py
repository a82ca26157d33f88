"""Options of the group ``helper_model``: a target-language model whose table methods read."""

from dataclasses import dataclass


@dataclass
class HelperModelConfig:
    """What every option has."""

    name: str = "trained"


@dataclass
class TrainedHelper(HelperModelConfig):
    """A small model trained on the target-language text with the target tokenizer."""


OPTIONS: dict[str, type[HelperModelConfig]] = {"trained": TrainedHelper}
