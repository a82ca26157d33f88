"""A sentence near its form in Latin letters: the contrast of transliteration-based alignment (PPA).

Xhelili et al., Findings of EMNLP 2024, arXiv 2406.19759: beside masked language modelling of the
text, of its Latin form and of both joined, the mean states of layer 8 of 12 of both forms are told
apart from all other sentences of the batch. The text itself is ``data.romanise.form: both``.
"""

from __future__ import annotations

from typing import ClassVar

from franken.declare import option
from franken.lazy import later
from franken.pair_loss.base import ContrastLoss, PairStates, Sides

with later():
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F


@option
class Ppa(ContrastLoss):
    """A sentence and its Latin form found among a batch's sentences in both forms (PPA)."""

    paper: ClassVar[str] = "Xhelili et al. 2024, arXiv 2406.19759"
    sides: ClassVar[Sides] = Sides.romanised

    weight: float = 0.5
    """Factor of the loss, a mean over pairs."""
    every: int = 1
    """Optimiser steps from one that reads pairs to the next; 1: each does."""
    alternate: bool = False
    """Such a step learns from pairs alone, and reads no text; ``false``: from both."""
    layer: float = 0.67
    """The layer whose output is compared, as a share of the depth; 1: behind the last norm."""
    temperature: float = 1.0
    """Divides the products."""
    cosine: bool = False
    """Products of states of length 1; ``false``, as released: of states as they are."""

    def loss(
        self, states: PairStates, prepared: dict[str, Tensor], parts: nn.Module | None
    ) -> dict[str, Tensor]:
        """InfoNCE over the 2B sentences, each against all but itself."""
        both = torch.cat([states.first, states.second]).float()
        both = F.normalize(both, dim=1) if self.cosine else both
        own = torch.eye(len(both), dtype=torch.bool, device=both.device)
        scores = (both @ both.T / self.temperature).masked_fill(own, -torch.inf)
        partners = torch.arange(len(both), device=both.device).roll(len(states.first))
        return {self.name: F.cross_entropy(scores, partners)}
