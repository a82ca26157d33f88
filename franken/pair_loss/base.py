"""What every loss on sentence pairs has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import at_least
from franken.config.sources import language_faults
from franken.config.trainer import TrainerConfig
from franken.lazy import later

with later():
    from torch import Tensor, nn


class Sides(StrEnum):
    """What the two sides of a pair are."""

    translations = "translations"
    """A sentence of the source language, and its translation."""
    romanised = "romanised"
    """A sentence, and its form in Latin letters."""
    alone = "alone"
    """A sentence, twice."""


class Pooling(StrEnum):
    """How the states of a sentence's tokens become one."""

    mean = "mean"
    """Their mean, control tokens left out."""
    first = "first"
    """That of the first token: of encoders the one that heads of texts read."""
    last = "last"
    """That of the last token that is no control token."""


@dataclass(frozen=True)
class PairStates:
    """What a loss sees of ``B`` pairs."""

    first: Tensor
    """``(B, D)`` pooled states of the first sides (translations: the source language)."""
    second: Tensor
    """``(B, D)`` of the second sides."""
    languages: Tensor
    """``(B,)`` number of the language of each pair."""
    reference_first: Tensor
    """``(B, D)`` the same of the reference model, without gradient; empty where it is not asked."""
    reference_second: Tensor
    """``(B, D)``."""


@dataclass
class PairLoss:
    """Draws the hidden states of sentence pairs to where they should be.

    Every ``every``-th step of the phase reads pairs: alone (``alternate``), or beside its text.
    """

    version: ClassVar[int] = 1
    """Code version: raised when a change of its code changes results, so that keys change."""
    sides: ClassVar[Sides] = Sides.translations
    asks_reference: ClassVar[bool] = False
    """Whether it compares with the states of the model at the beginning, or of ``reference``."""

    name: str = ""
    """The loss."""
    weight: float = 1.0
    """Factor of the loss, a mean over pairs."""
    every: int = 2
    """Optimiser steps from one that reads pairs to the next; 1: each does."""
    alternate: bool = True
    """Such a step learns from pairs alone, and reads no text; ``false``: from both."""
    batch_size: int = 32
    """Pairs of such a step (of each of its ``accumulate`` parts)."""
    languages: list[str] | None = None
    """Whose pairs are read, all in one order; ``null``: those of the data's target languages."""
    most: int = 2000
    """Pairs of a language that are used: the first ones."""
    layer: float = 0.5
    """The layer whose output is compared, as a share of the depth; 1: behind the last norm."""
    pooling: Pooling = Pooling.mean

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("weight", self.weight, 0.0)
        yield from at_least("every", self.every, 1)
        yield from at_least("batch_size", self.batch_size, 1)
        yield from at_least("most", self.most, 1)
        yield from language_faults("languages", self.languages or [])
        if not 0 < self.layer <= 1:
            yield "layer", f"is a share of the depth, above 0 and at most 1; got {self.layer}"

    def parts(self, width: int) -> nn.Module | None:
        """Weights of the loss's own, drawn from the global generator; ``None``: it has none."""
        return None

    def prepare(self, first: Tensor, second: Tensor, languages: Tensor) -> dict[str, Tensor]:
        """What the loss works out once, from the reference's states of all pairs.

        Args:
            first: ``(N, D)``.
            second: ``(N, D)``.
            languages: ``(N,)``.
        """
        return {}

    def loss(
        self, states: PairStates, prepared: dict[str, Tensor], parts: nn.Module | None
    ) -> dict[str, Tensor]:
        """The terms of the loss, each a mean over pairs; their sum is what is minimised."""
        raise NotImplementedError(f"{type(self).__name__} is no loss of its own")


@dataclass
class ContrastLoss(PairLoss):
    """Finds each sentence's partner among the batch's other sentences (InfoNCE)."""

    temperature: float = 0.1
    """Divides the scores."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if not self.temperature > 0:
            yield "temperature", f"must be above 0, got {self.temperature}"
        if self.batch_size < 2:
            yield "batch_size", "must be at least 2: other sentences of the batch are the contrast"


def pair_clash(trainer: TrainerConfig) -> str | None:
    """What the trainer would have to be for pairs to be read; ``None``: it is that."""
    for asked, wanted in (
        (trainer.processes > 1, "one process (trainer.devices=1, trainer.num_nodes=1)"),
        (trainer.strategy == "fsdp", "trainer.strategy=auto"),
        (trainer.offload, "trainer.offload=false"),
        (trainer.compile is not None, "trainer.compile=null"),
    ):
        if asked:
            return wanted
    return None
