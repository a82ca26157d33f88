"""Training on text beside what a teacher makes of it, whose tokenizer may be another one.

The runner's feed pairs batches (``chunks`` and the teacher's ids); batches that come without, as
those of validation, have the plain next-token loss, so that curves of all trainings compare.
"""

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from franken.distillation.base import Balance, Distillation
from franken.distillation.common.pairing import Pairing, flat_chunks
from franken.distillation.common.view import View
from franken.errors import CompatibilityError
from franken.parts.anatomy import anatomy_of, logit_scale, logit_softcap
from franken.parts.segmented import segmented
from franken.training.batches import Batch, next_tokens
from franken.training.loss import IGNORED
from franken.training.masks import packed_attention_mask
from franken.training.module import CausalModule
from franken.training.policy import head_of


@dataclass
class Teaching:
    """A loss, the model that teaches, and its tokenizer."""

    distillation: Distillation
    teacher: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


class DistillationModule(CausalModule):
    """Trains what a policy left trainable; the teacher is no part of the module's state."""

    def __init__(
        self, *arguments: Any, teaching: Teaching, pairing: Pairing, **options: Any
    ) -> None:
        """Args: those of ``CausalModule``, the teacher, and the ``pairing`` of both tokenizers.

        Raises:
            CompatibilityError: for a Hydra LLM.
        """
        super().__init__(*arguments, **options)
        if segmented(self.model) is not None or segmented(teaching.teacher) is not None:
            raise CompatibilityError(
                "distillation is not there for models with several tables; select one table first"
            )
        self.distillation, self.pairing = teaching.distillation, pairing
        teacher = teaching.teacher.eval().requires_grad_(False)
        if self.policy.body_dtype == "bfloat16":
            teacher = teacher.to(torch.bfloat16)
        self._teacher = [teacher]  # in a list: no submodule, whose weights would be saved

    def summed_loss(self, batch: Batch) -> Tensor:
        """Both losses, as a mean over the counted positions times their number."""
        if "teacher_ids" not in batch:
            return super().summed_loss(batch)
        hidden = self.hidden_states(batch)
        targets = next_tokens(batch, across_documents=self.config.pack_across_documents)
        counted = int((targets != IGNORED).sum())
        plain = self.next_token_loss(hidden, targets)
        taught, chunks = self.distillation.loss(*self._views(batch, hidden))
        taught = taught * (counted / max(1, chunks))
        self.measures = {
            "next_token": float(plain.detach()) / max(1, counted),
            self.distillation.name: float(taught.detach()) / max(1, counted),
            "tokens_per_chunk": float((batch["chunks"] >= 0).sum()) / max(1, chunks),
        }
        first, second = self._factors(plain, taught, hidden)
        return first * plain + second * taught

    def _factors(self, plain: Tensor, taught: Tensor, hidden: Tensor) -> tuple[float, float]:
        """Factors of the next-token loss and of the distillation."""
        options = self.distillation
        if options.balance is Balance.fixed or not options.next_token:
            return options.next_token, options.weight
        norms = [
            float(torch.autograd.grad(loss, hidden, retain_graph=True)[0].float().norm())
            for loss in (plain, taught)
        ]
        shares = [1 / max(norm, 1e-12) for norm in norms]
        return shares[0] / sum(shares), shares[1] / sum(shares)

    def _views(self, batch: Batch, hidden: Tensor) -> tuple[View, View]:
        mine, theirs, count = flat_chunks(batch["chunks"], batch["teacher_chunks"])
        teacher = self._teacher[0].to(hidden.device)
        self._teacher[0] = teacher
        sides = []
        for model, states, ids, chunks, begins in (
            (self.model, hidden, batch["input_ids"], mine, self.pairing.begins),
            (teacher, self._taught_states(batch), batch["teacher_ids"], theirs,
             self.pairing.teacher_begins),
        ):  # fmt: skip
            weight, bias = head_of(model)
            sides.append(View(
                states, weight, bias, ids, chunks, count,
                logit_softcap(model.config), logit_scale(model.config),
                begins.to(hidden.device), self.config.loss_chunk_tokens,
            ))  # fmt: skip
        return sides[0], sides[1]

    @torch.no_grad()
    def _taught_states(self, batch: Batch) -> Tensor:
        """``(B, M, D)`` the teacher's states before its head."""
        teacher: Any = self._teacher[0]
        rows = teacher.get_input_embeddings()(batch["teacher_ids"])
        glue: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if rows.dtype == torch.bfloat16:
            glue = torch.autocast(rows.device.type, dtype=torch.bfloat16)
        with glue:
            output = teacher.get_submodule(anatomy_of(teacher.config).backbone)(
                inputs_embeds=rows,
                attention_mask=packed_attention_mask(
                    teacher.config, batch["teacher_segments"], rows.dtype
                ),
                position_ids=batch["teacher_positions"],
                use_cache=False,
            )
        states: Tensor = output.last_hidden_state
        return states
