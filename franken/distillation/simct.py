"""SimCT (arXiv 2605.07711; sunjie279/SimCT-): shared tokens, and the chunk itself beside them.

At the beginning of a chunk of equal bytes both models choose among the tokens that both
vocabularies have, and, where the chunk is several tokens on either side, one entry more: the chunk
as a whole, scored by the tokens that spell it. The loss is the reverse Kullback-Leibler divergence
over these.

Departures: the entry's score is the mean *log-probability* of its tokens, not of their raw logits,
which have no scale of their own (``score=mean_logit`` as released); chunks are the finest that the
bytes allow, where the release closes them only at a token that both sides have; tokens are shared
by their bytes. The paper trains on text of the student's own: ``rollout=1``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from franken.declare import option
from franken.distillation.base import Distillation
from franken.lazy import later

with later():
    import torch
    from torch import Tensor

    from franken.distillation.common.blocks import summed
    from franken.distillation.common.divergence import divergence
    from franken.distillation.common.view import View

_NEVER = -1e9
"""Score of a chunk that one shared token is by itself: it has no entry of its own."""


class Score(StrEnum):
    """What the entry of a chunk weighs."""

    mean_logprob = "mean_logprob"
    """The mean log-probability of its tokens."""
    sum_logprob = "sum_logprob"
    """Their sum: the chunk's log-likelihood."""
    mean_logit = "mean_logit"
    """The mean of their logits, beside raw logits, as released."""


@option
class Simct(Distillation):
    """Shared tokens and the whole chunk as one choice, by reverse Kullback-Leibler (SimCT)."""

    paper: ClassVar[str] = "arXiv 2605.07711"

    score: Score = Score.mean_logprob

    def loss(self, student: View, teacher: View) -> tuple[Tensor, int]:
        """The divergence summed over chunks, and how many these are."""
        numbers, mine = student.first_states()
        if not len(numbers):
            return student.hidden.sum() * 0.0, 0
        _, theirs = teacher.first_states()
        single = (student.tokens()[numbers] == 1) & (teacher.tokens()[numbers] == 1)
        learnt = self._scores(student)[numbers].masked_fill(single, _NEVER)
        with torch.no_grad():
            taught = self._scores(teacher)[numbers].masked_fill(single, _NEVER)

        def reverse(mine: Tensor, learnt: Tensor, theirs: Tensor, taught: Tensor) -> Tensor:
            with torch.no_grad():
                goal = self._choices(teacher, theirs, taught)
            found = self._choices(student, mine, learnt)
            return divergence(found, goal)

        return summed(reverse, mine, learnt, theirs, taught), len(numbers)

    def _scores(self, view: View) -> Tensor:
        """``(count,)`` what the entry of each chunk weighs."""
        raw = self.score is Score.mean_logit
        sums = view.own_logits() if raw else view.log_likelihoods()
        return sums if self.score is Score.sum_logprob else sums / view.tokens().clamp(min=1)

    def _choices(self, view: View, states: Tensor, own: Tensor) -> Tensor:
        """``(n, k + 1)`` log-probabilities of the shared tokens and, last, of the chunk itself."""
        logits = view.logits(states)
        if self.score is not Score.mean_logit:
            logits = logits.log_softmax(1)
        return torch.cat([logits[:, view.shared], own[:, None]], 1).log_softmax(1)
