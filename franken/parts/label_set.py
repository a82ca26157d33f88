"""What a head tells apart: names of labels, of whole texts or of their words."""

from dataclasses import dataclass
from enum import StrEnum


class LabelledUnit(StrEnum):
    """What carries a label."""

    sentence = "sentence"
    """The whole text (topics)."""
    token = "token"
    """Each word of it (names, parts of speech)."""


@dataclass(frozen=True)
class LabelSet:
    """What a head tells apart."""

    unit: LabelledUnit
    names: tuple[str, ...]

    def index(self) -> dict[str, int]:
        """Name -> its number."""
        return {name: at for at, name in enumerate(self.names)}
