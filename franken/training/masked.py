"""The Lightning module of masked language models: hidden tokens are guessed from both sides."""

import contextlib
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from franken.config.training import Trainable, TrainingConfig
from franken.parts.masked import states_at_head
from franken.seeds import derive_seed
from franken.training.batches import Batch
from franken.training.loss import IGNORED, chunked_linear_cross_entropy
from franken.training.masking import TokenMasker
from franken.training.module import CausalModule
from franken.training.policy import PolicyReport, apply_policy, control_rows, frozen_dtype, head_of

_SHORTEST = 16
"""Documents up to so many tokens are run together."""


class MaskedModule(CausalModule):
    """Training of a masked language model; as :class:`CausalModule`, but for what is predicted.

    Batches from the runner's feed have their hidden tokens drawn already (``hidden``); others are
    masked here, by the seed and the step.

    Documents that were packed into one sequence are run as rows of their own: each has positions
    from the first one on and sees nothing of the others, in every family.
    """

    masked: ClassVar[bool] = True

    def __init__(
        self, model: PreTrainedModel, policy: PolicyReport, config: TrainingConfig, *,
        masker: TokenMasker, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(model, policy, config, **options)
        self.masker = masker

    @classmethod
    def for_training(
        cls, model: PreTrainedModel, trainable: Trainable | str, config: TrainingConfig, *,
        tokenizer: Any = None, seed: int = 0,
    ) -> "MaskedModule":  # fmt: skip
        """As for causal models; the tokenizer gives the mask token."""
        policy = apply_policy(
            model, Trainable(trainable), config,
            body_dtype=frozen_dtype(config.body_dtype, model.device.type, False),
            special_rows=control_rows(tokenizer), seed=derive_seed(seed, "lora"),
        )  # fmt: skip
        masker = TokenMasker.of(tokenizer, config.masking)
        return cls(model, policy, config, masker=masker, seed=seed)

    def summed_loss(self, batch: Batch) -> Tensor:
        """Negative log-likelihood in nats, summed over the hidden tokens."""
        batch = self._hidden(batch)
        segments = batch["segment_ids"]
        if self.config.pack_across_documents:
            segments = (segments > 0).long()
        weight, bias = head_of(self.model)
        # 0 with a gradient of zeros: a batch in which nothing was hidden is a step like any other
        trained = [p for p in self.model.parameters() if p.requires_grad]
        total = sum((p.flatten()[:1].sum() * 0.0 for p in trained), weight.new_zeros(()))
        for ids, labels in documents(batch["input_ids"], batch["labels"], segments):
            states = self._states(ids.clamp(min=0), (ids >= 0).long())
            total = total + chunked_linear_cross_entropy(
                states.flatten(0, 1), weight, labels.flatten(), bias=bias,
                chunk_tokens=self.config.loss_chunk_tokens, reduction="sum",
                compute_dtype=self.mixed,
            )  # fmt: skip
        return total

    def counted(self, batch: Batch) -> Tensor:
        """Hidden tokens of a batch."""
        labels: Tensor = self._hidden(batch)["labels"]
        return (labels != IGNORED).sum()

    def _hidden(self, batch: Batch) -> Batch:
        if "hidden" in batch:
            return batch
        mode = "step" if self.model.training else "valid"
        seed = derive_seed(self.seed, "mask", mode, self.steps_done, int(batch["input_ids"].sum()))
        return self.masker.hide(batch, seed)

    def _states(self, ids: Tensor, mask: Tensor) -> Tensor:
        glue: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if self.policy.body_dtype == "bfloat16":
            glue = torch.autocast(ids.device.type, dtype=torch.bfloat16)
        with glue:
            return states_at_head(self.model, ids, mask)


def documents(ids: Tensor, labels: Tensor, segments: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Packed sequences taken apart: a row per document, of like lengths together.

    Args:
        ids: ``(B, L)``.
        labels: ``(B, L)``.
        segments: ``(B, L)`` numbers of documents from 1; 0 is padding.

    Returns:
        Pairs of ids (-1: padding) and labels (-100 there), ``(documents, length)`` each, lengths
        within a factor of two. Documents without a label are left out.
    """
    starts = torch.ones_like(segments, dtype=torch.bool)
    starts[:, 1:] = segments[:, 1:] != segments[:, :-1]
    number = starts.flatten().cumsum(0) - 1
    sizes = torch.bincount(number)
    wanted = torch.zeros_like(sizes).index_add_(0, number, (labels.flatten() != IGNORED).long()) > 0
    wanted &= segments.flatten()[starts.flatten()] > 0
    firsts = starts.flatten().nonzero().flatten()
    found, upper = [], _SHORTEST
    lower = 0
    while lower < ids.shape[1]:
        rows = (wanted & (sizes > lower) & (sizes <= upper)).nonzero().flatten()
        if len(rows):
            width = int(sizes[rows].max())
            steps = torch.arange(width, device=ids.device)
            inside = steps < sizes[rows, None]
            places = (firsts[rows, None] + steps).clamp(max=ids.numel() - 1)
            found.append((
                torch.where(inside, ids.flatten()[places], -1),
                torch.where(inside, labels.flatten()[places], IGNORED),
            ))  # fmt: skip
        lower, upper = upper, 2 * upper
    return found
