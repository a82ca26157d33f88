"""What every preference loss has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from franken.lazy import later

with later():
    from torch import Tensor


@dataclass(frozen=True)
class PairLosses:
    """What a loss says of ``B`` pairs."""

    losses: Tensor
    """``(B,)`` nats."""
    ratios: Tensor
    """``(B, 2)`` log-ratios of policy to reference, as the loss counts them; no gradient."""
    margins: Tensor
    """``(B,)`` how far the pair is told apart, 0 where policy and reference agree; no gradient."""


@dataclass
class Preference:
    """Tunes a model so that preferred answers gain on rejected ones.

    Of the schedule, ``batch_size`` counts pairs and ``sequence_length`` bounds a prompt with one of
    its answers: longer pairs are left out and counted. Dropout is off.
    """

    version: ClassVar[int] = 1
    """Code version: raised when a change of its code changes results, so that keys change."""

    name: str = ""
    """The loss."""

    def losses(self, policy: Tensor, reference: Tensor, lengths: Tensor) -> PairLosses:
        """The loss of ``B`` pairs.

        Args:
            policy: ``(B, 2)`` log-likelihoods of chosen and rejected answer under the trained
                model.
            reference: the same under the model that training started from; no gradient reaches it.
            lengths: ``(B, 2)`` tokens of the answers that count.
        """
        raise NotImplementedError(f"{type(self).__name__} is no loss of its own")
