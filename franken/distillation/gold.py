"""GOLD's hybrid loss (TRL, ``trl/experimental/gold``): names where both have them, ranks elsewhere.

A chunk of equal bytes has one vector on each side: the distribution at its last token times the
probabilities of its earlier tokens (``bayesian`` of the release), so that the entry of the last
token is the chunk's probability. Tokens that both vocabularies have are compared by name, by a
generalised Jensen-Shannon divergence; the others by rank, as ULD does. The first counts by the
share of the teacher's tokens that are shared, the second by the rest.

Departures: tokens are shared that stand for the same bytes, where the release compares strings (so
that none that begins a word is shared by byte-level and SentencePiece vocabularies); its merging
``observed``, whose factors are shifted by a token, is left out. On-policy is ``rollout`` (there
``lmbda``). As there, a vector of several tokens does not sum to 1, so that a divergence may fall
below 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import ClassVar

from franken.config.checks import in_range
from franken.declare import option
from franken.distillation.base import Distillation
from franken.lazy import later

with later():
    import torch
    from torch import Tensor

    from franken.distillation.common.blocks import summed
    from franken.distillation.common.divergence import divergence
    from franken.distillation.common.view import View
    from franken.distillation.uld import distances


@option
class Gold(Distillation):
    """Distributions compared by name where both vocabularies have the token, by rank elsewhere."""

    paper: ClassVar[str] = "GOLD, trl.experimental"

    beta: float = 0.0
    """0: Kullback-Leibler from the teacher, 1: from the model, between: Jensen-Shannon."""
    hybrid: bool = True
    """Compare shared tokens by name; false: all by rank (ULD over merged tokens)."""
    shared_weight: float | None = None
    """Weight of what is compared by name, the rest has 1 less that; null: the share of the
    teacher's tokens that are shared."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from in_range("beta", self.beta, 0.0, 1.0)
        if self.shared_weight is not None:
            yield from in_range("shared_weight", self.shared_weight, 0.0, 1.0)

    def loss(self, student: View, teacher: View) -> tuple[Tensor, int]:
        """The distance summed over chunks, and how many these are."""
        numbers, mine = student.last_states()
        if not len(numbers):
            return student.hidden.sum() * 0.0, 0
        _, theirs = teacher.last_states()
        before = student.log_likelihoods_but_last()[numbers]
        with torch.no_grad():
            taught = teacher.log_likelihoods_but_last()[numbers]

        def distance(mine: Tensor, before: Tensor, theirs: Tensor, taught: Tensor) -> Tensor:
            with torch.no_grad():
                goal = teacher.logits(theirs).log_softmax(1) + taught[:, None]
            return self._distance(student.logits(mine).log_softmax(1) + before[:, None], goal,
                                  student, teacher)  # fmt: skip

        return summed(distance, mine, before, theirs, taught), len(numbers)

    def _distance(self, found: Tensor, goal: Tensor, student: View, teacher: View) -> Tensor:
        """``(n,)`` from merged log-probabilities ``(n, V)`` of both sides."""
        if not self.hybrid:
            return distances(*(side.exp().sort(1, True).values for side in (found, goal)))
        assert teacher.shared is not None
        share = self.shared_weight
        if share is None:
            share = len(teacher.shared.unique()) / goal.shape[1]
        by_name = jensen_shannon(goal[:, teacher.shared], found[:, student.shared], self.beta)
        if share == 1:
            return by_name
        rest = [
            side[:, unshared(view)].exp().sort(1, True).values
            for side, view in ((found, student), (goal, teacher))
        ]
        return share * by_name + (1 - share) * distances(*rest)


def unshared(view: View) -> Tensor:
    """``(V,)`` bool: tokens that the other side does not have."""
    alone = torch.ones(len(view.weight), dtype=torch.bool, device=view.weight.device)
    alone[view.shared] = False
    return alone


def jensen_shannon(goal: Tensor, found: Tensor, beta: float) -> Tensor:
    """``(n,)`` generalised Jensen-Shannon divergence of ``(n, k)`` log-probabilities.

    ``beta KL(goal | m) + (1 - beta) KL(found | m)``, ``m = beta goal + (1 - beta) found``; at the
    ends their limits, scaled: 0 ``KL(goal | found)``, 1 ``KL(found | goal)``.
    """
    if beta == 0:
        return divergence(goal, found)
    if beta == 1:
        return divergence(found, goal)
    mixed = torch.logaddexp(goal + log(beta), found + log(1 - beta))
    return beta * divergence(goal, mixed) + (1 - beta) * divergence(found, mixed)
