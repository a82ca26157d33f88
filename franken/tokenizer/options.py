"""Choices that trained vocabularies share. Light: options are declared with them."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from franken.config.checks import at_least


class LineSampling(StrEnum):
    """How lines per language are drawn for tokenizer training."""

    cap = "cap"
    temperature = "temperature"


class Splitting(StrEnum):
    """What becomes of the base's rules for where a word ends."""

    keep = "keep"
    marks = "marks"


@dataclass
class PieceTraining:
    """How pieces are trained on text."""

    name: str = ""
    """The option, as reports name it."""
    size: int | None = None
    """Total vocabulary size in tokens; ``null`` means that of the base model (`match_base`)."""
    sampling: LineSampling = LineSampling.cap
    """``cap``: at most ``max_lines_per_language`` each (the paper); ``temperature``: resample."""
    max_lines_per_language: int = 500_000
    """Lines per language that the trainer may read."""
    temperature: float = 1.0
    """Used by ``sampling=temperature``: lines in proportion to size ** (1 / temperature)."""
    include_source: bool = False
    """Whether source-language lines enter the training of new pieces (unstated in the paper)."""
    split: Splitting = Splitting.keep
    """``marks``: combining marks are parts of words (Llama 3, Qwen 3 cut Tamil at every vowel)."""

    def faults(self) -> Iterator[tuple[str, str]]:
        """Key and message of everything wrong with the options."""
        yield from at_least("size", self.size, 300)
        yield from at_least("max_lines_per_language", self.max_lines_per_language, 1)
        yield from at_least("temperature", self.temperature, 1e-3)
