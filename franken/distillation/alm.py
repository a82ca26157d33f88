"""Approximate likelihood matching (arXiv 2503.20083; bminixhofer/tokenkit).

Of every chunk of equal bytes both models have a log-likelihood, ``l_T`` and ``l_S``. With
``a = l_T / tau``, ``q = l_S / tau`` the loss compares ``(e^a, 1 - e^a)`` with ``(e^q, 1 - e^q)``.
A chunk that ends where the teacher hardly sees a word end (``b <= gamma``, ``b`` its probability of
a token that begins with a boundary) joins the next; ``log b``, each model's own, is added to its
log-likelihood, as a tokenization ends a chunk there and the bytes may go on (debiasing).

Departures: ``tau`` is 5, which the authors found better later (footnote 16), not 100; a chunk has
weight 1; hidden states are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import in_range
from franken.declare import option
from franken.distillation.base import Distillation
from franken.lazy import later

with later():
    import torch
    from torch import Tensor

    from franken.distillation.common.view import View

_NEAREST = 1e-6
"""A chunk's probability stays so far from 1, or the second outcome has no logarithm."""


class Boundary(StrEnum):
    """What a word may begin with."""

    whitespace = "whitespace"
    """White space, or a control token."""
    none = "none"
    """Nothing is known of it: chunks are neither merged nor debiased, as in scripts without
    blanks."""


class Divergence(StrEnum):
    """How two binary distributions are compared."""

    cross_entropy = "cross_entropy"
    """As released; its least value is the teacher's entropy, its gradients are those of kl."""
    kl = "kl"
    total_variation = "total_variation"
    log_ratio = "log_ratio"
    """``|l_T - l_S|``: the limit of large ``tau``, which has no part in it."""


@option
class Alm(Distillation):
    """Likelihoods of chunks of equal bytes under any two tokenizers, matched (ALM)."""

    paper: ClassVar[str] = "arXiv 2503.20083"

    tau: float = 5.0
    """Divides log-likelihoods; 100 in the paper's experiments."""
    gamma: float = 0.1
    """A chunk ends only where the teacher gives a boundary more than this; 0 merges nothing, 1 all
    of a document."""
    debias: bool = True
    """Count the probability that a word ends after the chunk."""
    boundary: Boundary = Boundary.whitespace
    divergence: Divergence = Divergence.cross_entropy

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if not self.tau > 0:
            yield "tau", f"must be above 0, got {self.tau}"
        yield from in_range("gamma", self.gamma, 0.0, 1.0)

    def loss(self, student: View, teacher: View) -> tuple[Tensor, int]:
        """The divergence summed over merged chunks, and how many there are."""
        present = teacher.present()
        ends = present
        learnt = student.log_likelihoods()
        with torch.no_grad():
            taught = teacher.log_likelihoods()
        if self.boundary is Boundary.whitespace:
            with torch.no_grad():
                certain = teacher.log_boundaries()
            ends = chunk_ends(present, certain.exp() > self.gamma)
            if self.debias:
                learnt = learnt + torch.where(ends, student.log_boundaries(), 0.0)
                taught = taught + torch.where(ends, certain, 0.0)
        group = ends.long().cumsum(0) - ends.long()
        count = int(ends.sum())
        sums = [
            values.new_zeros(max(1, count)).index_add(0, group[present], values[present])
            for values in (taught, learnt)
        ]
        return self.divergences(*sums)[:count].sum(), count

    def divergences(self, taught: Tensor, learnt: Tensor) -> Tensor:
        """Elementwise, from log-likelihoods in nats; no gradient reaches ``taught``."""
        if self.divergence is Divergence.log_ratio:
            return (taught.detach() - learnt).abs()
        goal = (taught.detach() / self.tau).clamp(max=-_NEAREST)
        found = (learnt / self.tau).clamp(max=-_NEAREST)
        share = goal.exp()
        if self.divergence is Divergence.total_variation:
            return (share - found.exp()).abs()
        crossed = -(share * found + (1 - share) * log_rest(found))
        if self.divergence is Divergence.kl:
            crossed = crossed + share * goal + (1 - share) * log_rest(goal)
        return crossed


def chunk_ends(present: Tensor, certain: Tensor) -> Tensor:
    """Chunks after which a merged chunk ends: the certain ones, and where the next one is lacking.

    Args:
        present: ``(C,)`` bool: chunks that are there, in order.
        certain: ``(C,)`` bool: those after which a word surely may end.
    """
    next_there = torch.zeros_like(present)
    next_there[:-1] = present[1:]
    return present & (certain | ~next_there)


def log_rest(values: Tensor) -> Tensor:
    """``log(1 - e^x)`` for ``x < 0``, by the branch that keeps its digits."""
    near = values > -0.6931472
    # Both branches are differentiated; the one that is not taken must not be infinite.
    small = torch.where(near, values, -1.0)
    large = torch.where(near, -1.0, values)
    return torch.where(near, torch.log(-torch.expm1(small)), torch.log1p(-torch.exp(large)))
