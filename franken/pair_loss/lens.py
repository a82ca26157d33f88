"""Lens: languages together in what they share, apart in what is theirs, the source where it is.

Zhao et al., arXiv 2410.04407. The means of the languages' states span an affine space; its point
nearest to zero is the shared direction ``w`` and the directions within it are the specific subspace
``M`` (Xie et al. 2022). Three mean squared errors, all of the last layer: the source language's
states stay where they were, both sides' projections on ``w`` meet, and the target language's
projections on ``M`` move on by ``push`` times its difference from the source. The release calls
the second push and the third pull. It takes the mean over tokens, padding included, for the first
and the last token for the others; here all have one ``pooling``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.lazy import later
from franken.pair_loss.base import PairLoss, PairStates, Pooling

with later():
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F


@option
class Lens(PairLoss):
    """Shared parts of languages' states drawn together, specific ones apart, the source's kept."""

    paper: ClassVar[str] = "Zhao et al. 2024, arXiv 2410.04407"
    asks_reference: ClassVar[bool] = True

    every: int = 1
    """Optimiser steps from one that reads pairs to the next; 1: each does."""
    most: int = 200
    """Pairs of a language that are used: the first ones."""
    layer: float = 1.0
    """The layer whose output is compared, as a share of the depth; 1: behind the last norm."""
    pooling: Pooling = Pooling.last
    shared: float = 1.0
    """Factor of the languages' meeting on the shared direction."""
    push: float = 1.0
    """How far a language moves on in the specific subspace, in its distances from the source; 0:
    it stays there."""
    retain: float = 1.0
    """Factor of the source language's staying where it was."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("shared", self.shared, 0.0)
        yield from at_least("retain", self.retain, 0.0)

    def prepare(self, first: Tensor, second: Tensor, languages: Tensor) -> dict[str, Tensor]:
        """``shared (D,)`` of length 1, ``specific (D, L - 1)``, and ``differences (L - 1, D)``."""
        numbers = range(int(languages.max()) + 1)
        means = [first.mean(0), *(second[languages == number].mean(0) for number in numbers)]
        shared, specific = subspaces(torch.stack(means, 1))
        own = [
            (second[languages == number].mean(0) - first[languages == number].mean(0))
            for number in numbers
        ]
        differences = torch.stack(own) @ specific @ specific.T
        return {
            "shared": F.normalize(shared, dim=0),
            "specific": specific,
            "differences": differences,
        }

    def loss(
        self, states: PairStates, prepared: dict[str, Tensor], parts: nn.Module | None
    ) -> dict[str, Tensor]:
        """The three mean squared errors, over all values."""
        shared, specific = prepared["shared"], prepared["specific"]
        meeting = (states.first - states.second) @ shared
        moved = (states.second - states.reference_second) @ specific
        wanted = self.push * prepared["differences"][states.languages] @ specific
        width = states.first.shape[1]
        return {
            "retain": self.retain * F.mse_loss(states.first, states.reference_first),
            "shared": self.shared * meeting.square().mean() / width,
            "specific": (moved - wanted).square().sum(1).mean() / width,
        }


def subspaces(means: Tensor) -> tuple[Tensor, Tensor]:
    """What languages share, and where they differ.

    Args:
        means: ``(D, L)``, the mean state of each language.

    Returns:
        ``w (D,)``, the point nearest to zero of the affine space through the means, and
        ``M (D, L - 1)``, orthonormal directions within it; ``w`` is orthogonal to them.
    """
    columns = means.double()
    centred = columns - columns.mean(1, keepdim=True)
    left, _, _ = torch.linalg.svd(centred, full_matrices=False)
    specific = left[:, : columns.shape[1] - 1]
    middle = columns.mean(1)
    shared = middle - specific @ (specific.T @ middle)
    return shared.to(means), specific.to(means)
