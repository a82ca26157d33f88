"""What every distillation loss has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar

from franken.config.checks import at_least, in_range
from franken.lazy import later

with later():
    from torch import Tensor

    from franken.distillation.common.layers import Reading
    from franken.distillation.common.view import View


class Balance(StrEnum):
    """How the losses of teaching and of the next token are weighed."""

    fixed = "fixed"
    """By ``weight`` and ``next_token``."""
    gradient = "gradient"
    """Each by 1 over the norm of its gradient at the last hidden states, the two factors scaled to
    sum 1 (GradMag; there it is the last layer's weights); ``weight`` has no effect."""


@dataclass
class Distillation:
    """Teaches a model what another one makes of the same text, whatever its tokenizer."""

    by_layers: ClassVar[bool] = False
    """Whether it compares layers of masked models (``of_layers``) instead of chunks of text."""
    version: ClassVar[int] = 1
    """Code version: raised when a change of its code changes results, so that keys change."""

    name: str = ""
    """The loss."""
    next_token: float = 1.0
    """Factor of the plain next-token loss, a mean over tokens; 0 leaves it out."""
    weight: float = 1.0
    """Factor of the distillation loss, a mean over chunks of a batch."""
    balance: Balance = Balance.gradient
    rollout: float = 0.0
    """Share of the batches in which the teacher is asked about text that the model itself goes on
    with (on-policy); the next-token loss stays on the text that is read."""
    rollout_tokens: int = 64
    """Tokens that the model samples for each row of such a batch, at temperature 1."""
    rollout_prompt: int = 32
    """Tokens of the row's first document that it goes on from."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("next_token", self.next_token, 0.0)
        yield from at_least("weight", self.weight, 0.0)
        yield from in_range("rollout", self.rollout, 0.0, 1.0)
        yield from at_least("rollout_tokens", self.rollout_tokens, 1)
        yield from at_least("rollout_prompt", self.rollout_prompt, 1)

    def content(self) -> dict[str, Any]:
        """What decides the result; what means nothing without rollouts stands in none of it."""
        unset = [] if self.rollout else [f.name for f in fields(self) if "rollout" in f.name]
        return {key: value for key, value in asdict(self).items() if key not in unset}

    def loss(self, student: View, teacher: View) -> tuple[Tensor, int]:
        """The loss summed over chunks, and how many these are.

        Args:
            student: the model that trains.
            teacher: the other one, outside autograd; chunks of one number hold the same bytes.
        """
        raise NotImplementedError(f"{type(self).__name__} is no loss of its own")

    def of_layers(
        self, student: Reading, teacher: Reading, seen: Tensor
    ) -> dict[str, tuple[Tensor, int]]:
        """Losses by name, each with the number of tokens that it is a mean over."""
        raise NotImplementedError(f"{type(self).__name__} compares no layers")
