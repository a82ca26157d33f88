"""Options of the group ``helper_model``: a target-language model whose table methods read."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from franken.config.checks import at_least, in_range


class HelperKind(StrEnum):
    """What a trained helper learns."""

    masked = "masked"
    """Hidden tokens from both sides (a small BERT)."""
    causal = "causal"
    """The next token (a small Llama)."""


@dataclass
class HelperModelConfig:
    """What every option has."""

    name: str = "trained"


@dataclass
class TrainedHelper(HelperModelConfig):
    """A small model trained on the target-language text with the target tokenizer.

    Not resumable: it is meant for minutes. Languages take turns, so each has the same share.
    """

    kind: HelperKind = HelperKind.causal
    """Which kind SALT used is not known for sure; within minutes of training a causal one, which
    learns from every token, places words far better."""
    hidden_size: int = 128
    """Also the width of the table."""
    layers: int = 2
    heads: int = 4
    sequence_length: int = 64
    steps: int = 300
    batch_size: int = 16
    lr: float = 2e-3
    """Peak; the first tenth of the steps rises to it, the rest falls to zero along a cosine."""
    mask_share: float = 0.15
    """Share of tokens that a masked model must guess; of these 80 % are hidden, 10 % replaced."""
    min_count: int = 1
    """Tokens that the training text holds less often have no row (a row of zeros): what they have
    was not learnt. Methods count them, take them for no anchors, and let them fall back. 0: keep
    every row."""

    def faults(self) -> Iterator[tuple[str, str]]:
        for key in ("hidden_size", "layers", "heads", "steps", "batch_size"):
            yield from at_least(key, getattr(self, key), 1)
        yield from at_least("sequence_length", self.sequence_length, 2)
        yield from at_least("lr", self.lr, 0.0)
        yield from at_least("min_count", self.min_count, 0)
        yield from in_range("mask_share", self.mask_share, 0.01, 0.9)
        if self.heads > 0 and self.hidden_size % self.heads:
            yield "hidden_size", f"{self.hidden_size} is no multiple of heads={self.heads}"


@dataclass
class CheckpointHelper(HelperModelConfig):
    """An encoder or decoder checkpoint over the target tokenizer; only its table is read."""

    name: str = "checkpoint"
    path: str = ""
    """Directory with ``config.json`` and safetensors, or a hub id."""
    revision: str | None = None
    """Hub revision; a commit hash makes the run repeatable."""
    drop_untrained: bool = False
    """Rows that look untrained (near to those of unused tokens) count as missing. At most one in a
    hundred tokens is suspected, unused ones apart; their number is reported either way."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.path:
            yield "path", "names no checkpoint; give a directory or a hub id"


OPTIONS: dict[str, type[HelperModelConfig]] = {
    "trained": TrainedHelper,
    "checkpoint": CheckpointHelper,
}
