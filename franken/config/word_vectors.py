"""Options of the group ``word_vectors``: static vectors of words or pieces."""

from dataclasses import dataclass
from enum import StrEnum


class VectorUnit(StrEnum):
    """What has a vector."""

    words = "words"
    """White-space words; one space for each language, the source language included."""
    pieces = "pieces"
    """Pieces of the target text as the target tokenizer cuts it, and as the source's does."""


@dataclass
class WordVectorsConfig:
    """What every option has."""

    name: str = "trained"


@dataclass
class TrainedVectors(WordVectorsConfig):
    """fastText vectors trained on the monolingual text of the data."""


OPTIONS: dict[str, type[WordVectorsConfig]] = {"trained": TrainedVectors}
