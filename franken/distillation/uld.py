"""Universal logit distillation (arXiv 2402.12030): sorted probabilities compared, names ignored.

Both next-token distributions are sorted, the shorter filled with zeros, and the loss is the sum of
absolute differences: a Wasserstein distance over ranks. Departure: positions are paired where both
models predict the first token of a chunk of equal bytes; the release pairs them by index, so that
after the first word that is cut otherwise the pairs have nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.distillation.base import Distillation
from franken.lazy import later

with later():
    import torch
    from torch import Tensor
    from torch.nn.functional import pad
    from torch.utils.checkpoint import checkpoint

    from franken.distillation.common.view import View

_BLOCK = 256


@option
class Uld(Distillation):
    """Sorted next-token probabilities, matched to the teacher's (ULD); a baseline."""

    paper: ClassVar[str] = "Boizard et al. 2024, arXiv 2402.12030"

    largest: int = 0
    """Compare only so many of the largest probabilities of each side; 0: all, as published. Sorting
    two vocabularies at every chunk is most of the cost."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("largest", self.largest, 0)

    def loss(self, student: View, teacher: View) -> tuple[Tensor, int]:
        """The distance summed over the first tokens of chunks, and how many these are."""
        _, mine = student.first_states()
        _, theirs = teacher.first_states()
        total = mine.new_zeros((), dtype=torch.float32)
        for at in range(0, len(mine), _BLOCK):
            with torch.no_grad():
                goal = self._sorted(teacher, theirs[at : at + _BLOCK])
            total = total + checkpoint(
                lambda states, goal: distances(self._sorted(student, states), goal).sum(),
                mine[at : at + _BLOCK], goal, use_reentrant=False,
            )  # fmt: skip
        return total, len(mine)

    def _sorted(self, view: View, states: Tensor) -> Tensor:
        """``(n, k)`` falling probabilities."""
        shares = view.logits(states).softmax(1)
        size = shares.shape[1] if not self.largest else min(self.largest, shares.shape[1])
        return shares.topk(size, dim=1).values if self.largest else shares.sort(1, True).values


def distances(left: Tensor, right: Tensor) -> Tensor:
    """``(n,)`` summed absolute differences of sorted rows, the shorter filled with zeros."""
    width = max(left.shape[1], right.shape[1])
    sides = [pad(side, (0, width - side.shape[1])) for side in (left, right)]
    return (sides[0] - sides[1]).abs().sum(1)
