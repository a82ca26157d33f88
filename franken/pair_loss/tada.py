"""TADA: an adapter that makes sentences of another language look like the standard's translations.

Held et al., Findings of ACL 2023: an adapter is trained on pairs alone, so that the first token's
last state of a dialect sentence, read with it, is that of the standard sentence, read without it;
a critic, whose gradient is turned around, must not tell the two apart. Heads that were taught in
the standard then serve the dialect. Here the dialect is the target language.

Departures: the released critic reads the states of all tokens by a layer of attention, with a mask
that keeps padding and hides text, and scores without a bound; this one reads the compared state and
is logistic (Ganin et al. 2016). ``keep`` is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.lazy import later
from franken.pair_loss.base import PairLoss, PairStates, Pooling

with later():
    from torch import Tensor, nn
    from torch.nn import functional as F


@option
class Tada(PairLoss):
    """States of the target language drawn to those that the untouched model has of translations."""

    paper: ClassVar[str] = "Held et al. 2023"
    asks_reference: ClassVar[bool] = True

    every: int = 1
    """Optimiser steps from one that reads pairs to the next; 1: each does."""
    layer: float = 1.0
    """The layer whose output is compared, as a share of the depth; 1: behind the last norm."""
    pooling: Pooling = Pooling.first
    critic: float = 1.0
    """Factor of the critic; 0: there is none."""
    keep: float = 0.0
    """Factor of the distance of the source language's states from their own at the beginning, so
    that one adapter serves both languages; 0, as published: the source is read without it."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("critic", self.critic, 0.0)
        yield from at_least("keep", self.keep, 0.0)

    def parts(self, width: int) -> nn.Module | None:
        """The critic: half as wide inside as the model."""
        if not self.critic:
            return None
        inner = max(1, width // 2)
        return nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, 1))

    def loss(
        self, states: PairStates, prepared: dict[str, Tensor], parts: nn.Module | None
    ) -> dict[str, Tensor]:
        """Squared distance, summed over a state; the critic's two cross-entropies."""
        found = {self.name: squared_distance(states.second, states.reference_first)}
        if self.keep:
            kept = squared_distance(states.first, states.reference_first)
            found["keep"] = self.keep * kept
        if parts is not None:
            other = parts(turned_around(states.second, self.critic))
            standard = parts(states.reference_first)
            found["critic"] = -F.logsigmoid(standard).mean() - F.logsigmoid(-other).mean()
        return found


def squared_distance(one: Tensor, other: Tensor) -> Tensor:
    """Of rows ``(B, D)``, a mean over them."""
    return (one - other).square().sum(1).mean()


def turned_around(states: Tensor, factor: float) -> Tensor:
    """The states, whose gradient comes back with the opposite sign, times ``factor``."""
    still = states.detach()
    return still + factor * (still - states)
