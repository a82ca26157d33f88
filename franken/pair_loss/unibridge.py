"""UniBridge's regulariser: pooled states of the adapted model near those of the base, by KL.

Pham et al., ACL 2024, arXiv 2406.09717: the mean last state of a sentence, made a distribution over
its dimensions by softmax, compared with the base's. As released, probabilities stand where
log-probabilities belong, the sign is turned, and the base reads ids of the new tokenizer; here it
is ``KL(base || adapted)``, and each model reads with its own tokenizer (``reference`` of the step).
"""

from __future__ import annotations

from typing import ClassVar

from franken.declare import option
from franken.lazy import later
from franken.pair_loss.base import PairLoss, PairStates, Sides

with later():
    from torch import Tensor, nn
    from torch.nn import functional as F


@option
class Unibridge(PairLoss):
    """Sentences' states kept near those of the model that was adapted (UniBridge's KL term)."""

    paper: ClassVar[str] = "Pham et al. 2024, arXiv 2406.09717"
    sides: ClassVar[Sides] = Sides.alone
    asks_reference: ClassVar[bool] = True

    weight: float = 0.5
    """Factor of the loss, a mean over sentences."""
    every: int = 1
    """Optimiser steps from one that reads sentences to the next; 1: each does."""
    alternate: bool = False
    """Such a step learns from these sentences alone; ``false``: from its text, too."""
    layer: float = 1.0
    """The layer whose output is compared, as a share of the depth; 1: behind the last norm."""

    def loss(
        self, states: PairStates, prepared: dict[str, Tensor], parts: nn.Module | None
    ) -> dict[str, Tensor]:
        """``sum_d p_d (log p_d - log q_d)``, p the base's and q the trained model's."""
        trained = states.second.log_softmax(1)
        base = states.reference_second.log_softmax(1)
        return {self.name: F.kl_div(trained, base, reduction="batchmean", log_target=True)}
