"""Direct preference optimisation: an answer shall gain on the reference model, another one lose.

A row of a batch holds one pair: the prompt with the chosen answer is segment 1, the prompt with the
rejected one segment 2, blind to each other as packed documents are. ``reference`` ``(B, 2)`` has
the reference model's log-likelihoods of both, see ``reference.py``.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from franken.config.preference import PreferenceConfig
from franken.errors import CompatibilityError
from franken.parts.segmented import segmented
from franken.training.batches import Batch, next_tokens
from franken.training.loss import IGNORED, chunked_linear_cross_entropy
from franken.training.module import CausalModule
from franken.training.policy import head_of

CHOSEN, REJECTED = 1, 2
"""Segments of the two answers."""


@dataclass(frozen=True)
class PairLosses:
    """What DPO says of ``B`` pairs."""

    losses: Tensor
    """``(B,)`` nats; log 2 where policy and reference agree."""
    ratios: Tensor
    """``(B, 2)`` log-ratios of policy to reference, per token if so normalised."""
    margins: Tensor
    """``(B,)`` ``beta`` times the difference of the two; positive: the pair is told apart."""


def dpo(policy: Tensor, reference: Tensor, lengths: Tensor, config: PreferenceConfig) -> PairLosses:
    """``-log sigmoid(beta r(chosen) - beta r(rejected))``, ``r`` the log-ratio of the two models.

    With ``length_normalised`` each ``r`` is divided by its answer's length (GraftLLM 3, after
    FuseChat-3.0).

    Args:
        policy: ``(B, 2)`` log-likelihoods of chosen and rejected answer under the trained model.
        reference: the same under the reference model; no gradient reaches it.
        lengths: ``(B, 2)`` tokens of the answers that count.
        config: ``beta`` and ``length_normalised``.
    """
    ratios = policy - reference.detach()
    if config.length_normalised:
        ratios = ratios / lengths
    margins = config.beta * (ratios[:, 0] - ratios[:, 1])
    return PairLosses(-logsigmoid(margins), ratios.detach(), margins.detach())


class PreferenceModule(CausalModule):
    """Trains on pairs what a policy left trainable; the model is never in dropout."""

    def __init__(self, *arguments: Any, preference: PreferenceConfig, **options: Any) -> None:
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
        """DPO of a batch with its ``reference``."""
        policy, lengths = self.log_likelihoods(batch)
        return dpo(policy, batch["reference"].to(policy), lengths, self.preference)

    def summed_loss(self, batch: Batch) -> Tensor:
        """DPO in nats, summed over the pairs."""
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
