"""Training on pairs: an answer shall gain on the reference model, another one lose.

A row of a batch holds one pair: the prompt with the chosen answer is segment 1, the prompt with the
rejected one segment 2, blind to each other as packed documents are. ``reference`` ``(B, 2)`` has
the reference model's log-likelihoods of both, see ``reference.py``.
"""

from typing import Any

import torch
from torch import Tensor

from franken.errors import CompatibilityError
from franken.parts.segmented import segmented
from franken.preference.base import PairLosses, Preference
from franken.training.batches import Batch, next_tokens
from franken.training.loss import IGNORED, chunked_linear_cross_entropy
from franken.training.module import CausalModule
from franken.training.policy import head_of

CHOSEN, REJECTED = 1, 2
"""Segments of the two answers."""


class PreferenceModule(CausalModule):
    """Trains on pairs what a policy left trainable; the model is never in dropout."""

    def __init__(self, *arguments: Any, preference: Preference, **options: Any) -> None:
        """Args: those of ``CausalModule``, and ``preference``.

        Raises:
            CompatibilityError: for a Hydra LLM.
        """
        super().__init__(*arguments, **options)
        if segmented(self.model) is not None:
            raise CompatibilityError(
                "preference tuning is not there for models with several tables; tune one table's "
                "model and join it afterwards"
            )
        self.preference = preference
        self.model.eval()  # policy and reference shall differ by their weights alone (as in TRL)
        self._parts: list[PairLosses] = []

    def log_likelihoods(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log-likelihoods ``(B, 2)`` in nats of both answers, and how many tokens they sum."""
        targets = next_tokens(batch, across_documents=False)
        weight, bias = head_of(self.model)
        losses = chunked_linear_cross_entropy(
            self.hidden_states(batch)[:, :-1].flatten(0, 1),
            weight,
            targets.flatten(),
            bias=bias,
            softcap=self._softcap,
            scale=self._scale,
            chunk_tokens=self.config.loss_chunk_tokens,
            reduction="none",
            compute_dtype=self.mixed,
        )
        values = -losses.view(targets.shape)
        counted = targets != IGNORED
        answers = [(batch["segment_ids"][:, 1:] == side) & counted for side in (CHOSEN, REJECTED)]
        sums = torch.stack([(values * answer).sum(1) for answer in answers], dim=1)
        return sums, torch.stack([answer.sum(1) for answer in answers], dim=1)

    def pair_losses(self, batch: Batch) -> PairLosses:
        """The loss of a batch with its ``reference``."""
        policy, lengths = self.log_likelihoods(batch)
        return self.preference.losses(policy, batch["reference"].to(policy), lengths)

    def summed_loss(self, batch: Batch) -> Tensor:
        """The loss in nats, summed over the pairs."""
        found = self.pair_losses(batch)
        self._parts.append(found)
        return found.losses.sum()

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Also note what the training curve shows: means over this process's pairs of the step."""
        parts, self._parts = self._parts, []
        margins = torch.cat([part.margins for part in parts]).double()
        chosen, rejected = torch.cat([part.ratios for part in parts]).double().mean(0).tolist()
        self.measures = {
            "told_apart": float((margins > 0).double().mean()), "margin": float(margins.mean()),
            "chosen_ratio": chosen, "rejected_ratio": rejected,
        }  # fmt: skip
        super().on_before_optimizer_step(optimizer)

    def counted(self, batch: Batch) -> Tensor:
        """What the summed loss of a batch is a sum over: pairs."""
        return torch.tensor(count_pairs(batch), device=batch["reference"].device)

    def validation_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """``(summed nats, pairs)`` of one batch, as a float64 pair."""
        before = len(self._parts)
        total = self(batch).double()
        del self._parts[before:]  # not of the training step
        return torch.stack([total, self.counted(batch).to(total)])


def count_pairs(batch: Batch) -> int:
    """What the loss of a step is the mean of."""
    return len(batch["reference"])
