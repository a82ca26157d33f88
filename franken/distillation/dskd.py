"""Dual-space distillation (DSKD, Zhang et al., EMNLP 2024; DSKDv2, arXiv 2504.11426).

Each model's last states are carried into the other's space, and both spaces have a divergence of
next-token distributions: in the teacher's, its own against the student's states under the teacher's
head; in the student's, the carried teacher's states under the student's head (both stopped) against
its own, where the carried ones find the right token. So no entry of either vocabulary is left out.

The projectors are those that DSKDv2 begins with: the matrix under which shared tokens keep their
logits best, ``P = argmin |W P' - V|^2`` over the rows of both heads. Departures: they are solved
anew from the heads as these are, in both directions, and not trained, so that a run has no weights
beside the model's; states are paired at the beginning of every chunk of equal bytes, where both
models have read the same text, and not by cross attention (DSKD) or at tokens that both sides cut
alike (DSKDv2); the divergence is the plain forward one; the cross-entropy that trains a projector
is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.distillation.base import Distillation
from franken.lazy import later

with later():
    import torch
    from torch import Tensor

    from franken.distillation.common.blocks import summed
    from franken.distillation.common.divergence import divergence
    from franken.distillation.common.view import View


class Space(StrEnum):
    """Where distributions are compared."""

    both = "both"
    teacher = "teacher"
    """Over the teacher's vocabulary alone."""
    student = "student"
    """Over the student's vocabulary alone."""


@option
class Dskd(Distillation):
    """Each model's states under the other's head, both spaces compared (DSKD)."""

    paper: ClassVar[str] = "Zhang et al. 2024; arXiv 2504.11426"

    space: Space = Space.both
    temperature: float = 1.0
    """Divides all logits."""
    anchors: int = 4096
    """Shared tokens, evenly spaced over the ids, that projectors are fitted on; several times as
    many as a state is wide."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("anchors", self.anchors, 1)
        if not self.temperature > 0:
            yield "temperature", f"must be above 0, got {self.temperature}"

    def loss(self, student: View, teacher: View) -> tuple[Tensor, int]:
        """Both divergences summed over chunks, and how many these are."""
        numbers, mine = student.first_states()
        if not len(numbers):
            return student.hidden.sum() * 0.0, 0
        _, theirs = teacher.first_states()
        there, back = projectors(student, teacher, self.anchors)
        total = mine.new_zeros((), dtype=torch.float32)

        def over_theirs(mine: Tensor, theirs: Tensor) -> Tensor:
            with torch.no_grad():
                goal = self._log_shares(teacher, theirs)
            return divergence(goal, self._log_shares(teacher, mine.float() @ there))

        def over_mine(mine: Tensor, theirs: Tensor, ids: Tensor) -> Tensor:
            with torch.no_grad():
                goal = self._log_shares(student, theirs.float() @ back)
                right = (goal.argmax(1) == ids).float()
            found = divergence(goal, self._log_shares(student, mine))
            return torch.stack([found * right, right], 1)

        if self.space is not Space.student:
            total = total + summed(over_theirs, mine, theirs)
        if self.space is not Space.teacher:
            found, right = summed(over_mine, mine, theirs, student.first_ids())
            total = total + found * (len(numbers) / right.clamp(min=1))
        return total, len(numbers)

    def _log_shares(self, view: View, states: Tensor) -> Tensor:
        """``(n, V)`` log-probabilities of a view's own tokens."""
        return (view.logits(states) / self.temperature).log_softmax(1)


def projectors(student: View, teacher: View, anchors: int) -> tuple[Tensor, Tensor]:
    """``(D_s, D_t)`` and ``(D_t, D_s)``: under them shared tokens keep their logits best.

    Least squares over the rows of both heads, ``|W_t P' - W_s|^2`` and ``|W_s P' - W_t|^2``; in
    float32 and more, whatever the precision of the pass: small singular values are inverted.
    """
    assert student.shared is not None
    assert teacher.shared is not None
    step = max(1, -(-len(student.shared) // anchors))
    mine, theirs = (
        view.weight.detach()[shared[::step]].float() * view.scale
        for view, shared in ((student, student.shared), (teacher, teacher.shared))
    )
    with torch.autocast(mine.device.type, enabled=False):
        cross = mine.T @ theirs
        there = cross @ inverse_of_squares(theirs)
        back = cross.T @ inverse_of_squares(mine)
    return there, back


def inverse_of_squares(rows: Tensor) -> Tensor:
    """``(D, D)`` pseudo-inverse of ``rows' rows``."""
    squares = (rows.T @ rows).double()
    inverse: Tensor = torch.linalg.pinv(squares, rtol=1e-7, hermitian=True)
    return inverse.float()
