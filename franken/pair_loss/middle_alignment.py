"""Middle-layer alignment: translations near each other, and farther from other sentences.

Liu & Niehues, ACL 2025, arXiv 2502.14830: batches of the task and of translations take turns; the
mean states of a middle layer (16 of 32) are told apart by cosine, against the other sentences of
the batch, one way. Control tokens are left out of the means here: in causal models the state of the
first token is so large that it would drown the sentence.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from franken.declare import option
from franken.lazy import later
from franken.pair_loss.base import ContrastLoss, PairStates

with later():
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F


class Still(StrEnum):
    """A side that no gradient reaches."""

    none = "none"
    first = "first"
    """The source language."""
    second = "second"


@option
class MiddleAlignment(ContrastLoss):
    """Translations found among a batch's sentences by the states of a middle layer (InfoNCE)."""

    paper: ClassVar[str] = "Liu & Niehues 2025, arXiv 2502.14830"

    both_ways: bool = False
    """Also the source sentence found from its translation; both halves then count one half."""
    still: Still = Still.none

    def loss(
        self, states: PairStates, prepared: dict[str, Tensor], parts: nn.Module | None
    ) -> dict[str, Tensor]:
        """``-log exp(cos(s_i, t_i) / T) / sum_j exp(cos(s_i, t_j) / T)``, a mean over i."""
        first, second = states.first, states.second
        if self.still is Still.first:
            first = first.detach()
        if self.still is Still.second:
            second = second.detach()
        found = contrast(first, second, self.temperature)
        if self.both_ways:
            found = (found + contrast(second, first, self.temperature)) / 2
        return {self.name: found}


def contrast(anchors: Tensor, others: Tensor, temperature: float) -> Tensor:
    """InfoNCE: each anchor ``(B, D)`` has its own among the others ``(B, D)`` to find."""
    cosines = F.normalize(anchors.float(), dim=1) @ F.normalize(others.float(), dim=1).T
    own = torch.arange(len(cosines), device=cosines.device)
    return F.cross_entropy(cosines / temperature, own)
