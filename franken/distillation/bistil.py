"""A smaller masked model learns a larger one's states, attention and guesses, layer by layer.

The paper has losses on logits, hidden states and attention, for a student of every second layer
over the vocabulary of two languages; their forms and weights are not in what could be read. Here:
mean squared errors of states and of attention probabilities, and the divergence of guesses at the
hidden tokens, each with a factor of 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.distillation.base import Balance, Distillation
from franken.lazy import later

with later():
    from torch import Tensor

    from franken.distillation.common.layers import (
        Reading,
        attention_error,
        guess_divergence,
        state_error,
    )


@option
class BiStil(Distillation):
    """States, attention and guesses of a masked teacher with the same vocabulary, by layers.

    For masked models alone: thin the teacher (step ``thin``), then train on its text. The
    teacher's width, heads and tokens are the student's.
    """

    paper: ClassVar[str] = "Ansell et al. 2023, arXiv 2306.01709"
    by_layers: ClassVar[bool] = True

    next_token: float = 0.0
    """Factor of the plain loss of hidden tokens; 0 leaves it out."""
    balance: Balance = Balance.fixed
    states: float = 1.0
    """Factor of the squared error of hidden states, of what enters the first layer too."""
    attention: float = 1.0
    """Factor of the squared error of attention probabilities."""
    guesses: float = 1.0
    """Factor of the divergence of guesses at the hidden tokens."""
    temperature: float = 1.0
    """Of the guesses."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        for name in ("states", "attention", "guesses"):
            yield from at_least(name, getattr(self, name), 0.0)
        if not self.temperature > 0:
            yield "temperature", f"must be positive, got {self.temperature}"
        if self.rollout:
            yield "rollout", "is there for models that write; set it to 0"
        if self.balance is not Balance.fixed:
            yield "balance", "weighs two losses, and here are four with factors; set it to fixed"

    def of_layers(
        self, student: Reading, teacher: Reading, seen: Tensor
    ) -> dict[str, tuple[Tensor, int]]:
        """Name -> loss, weighted, and the number of tokens that it is a mean over.

        Args:
            student: trains.
            teacher: outside autograd.
            seen: ``(B, L)`` 1 where there is a token.
        """
        read, hidden = int(seen.sum()), len(student.logits)
        guesses = guess_divergence(student.logits, teacher.logits, self.temperature)
        found = {
            "states": (self.states * state_error(student, teacher, seen), read),
            "attention": (self.attention * attention_error(student, teacher, seen), read),
            "guesses": (self.guesses * guesses, hidden),
        }
        return {name: (self.weight * loss, size) for name, (loss, size) in found.items()}
