"""Training on text beside what a teacher makes of it, whose tokenizer may be another one.

The runner's feed pairs batches (``chunks`` and the teacher's ids); batches that come without, as
those of validation, have the plain next-token loss, so that curves of all trainings compare. With
``distillation.rollout`` the teacher reads, in a share of the batches, what the model in training
goes on to write itself.
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
from franken.seeds import derive_seed
from franken.training.batches import Batch, next_tokens, to_device
from franken.training.loss import IGNORED
from franken.training.masks import packed_attention_mask
from franken.training.module import CausalModule
from franken.training.policy import head_of
from franken.training.rollout import WritingModel, written


@dataclass
class Teaching:
    """A loss, the model that teaches, and its tokenizer."""

    distillation: Distillation
    teacher: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


class DistillationModule(CausalModule):
    """Trains what a policy left trainable; the teacher is no part of the module's state."""

    one_pass = False

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
        self._draws = 0

    def summed_loss(self, batch: Batch) -> Tensor:
        """Both losses, as a mean over the counted positions times their number."""
        if "teacher_ids" not in batch:
            return super().summed_loss(batch)
        hidden = self.hidden_states(batch)
        targets = next_tokens(batch, across_documents=self.config.pack_across_documents)
        counted = int((targets != IGNORED).sum())
        plain = self.next_token_loss(hidden, targets)
        asked, states = batch, hidden
        own = self._own_text(batch)
        if own is not None:
            asked, states = own, self.hidden_states(own)
        taught, chunks = self.distillation.loss(*self._views(asked, states))
        taught = taught * (counted / max(1, chunks))
        self.measures = {
            "next_token": float(plain.detach()) / max(1, counted),
            self.distillation.name: float(taught.detach()) / max(1, counted),
            "tokens_per_chunk": float((asked["chunks"] >= 0).sum()) / max(1, chunks),
        }
        first, second = self._factors((plain, hidden), (taught, states))
        return first * plain + second * taught

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """As of every module; notes whose draws a batch's own text takes."""
        part = batch_idx % self.config.accumulate
        self._draws = derive_seed(self.seed, "rollout", self.steps_done, part)
        return super().training_step(batch, batch_idx)

    def _own_text(self, batch: Batch) -> Batch | None:
        """Text that the model writes from the beginnings of the batch's, in a share of batches."""
        options = self.distillation
        share = torch.rand((), generator=torch.Generator().manual_seed(self._draws))
        if not self.training or float(share) >= options.rollout:
            return None
        training = self.model.training
        self.model.eval()
        try:
            made = written(
                self._writing(), {key: value.cpu() for key, value in batch.items()
                                  if key in ("input_ids", "segment_ids")},
                options, seed=self._draws, ends=self.pairing.ends, writable=self.pairing.writable,
            )  # fmt: skip
        finally:
            self.model.train(training)
        return to_device(self.pairing.pair(made), batch["input_ids"].device)

    def _writing(self) -> WritingModel:
        narrow = torch.bfloat16 if self.policy.body_dtype == "bfloat16" else None
        weight, bias = head_of(self.model)

        def logits(states: Tensor) -> Tensor:
            view = View(states, weight, bias, states, states, 0, self._softcap, self._scale)
            return view.logits(states)

        return WritingModel(self.backbone, self.model.get_input_embeddings(), logits, narrow)

    def _factors(
        self, plain: tuple[Tensor, Tensor], taught: tuple[Tensor, Tensor]
    ) -> tuple[float, float]:
        """Factors of the next-token loss and of the distillation, each with the states it reads."""
        options = self.distillation
        if options.balance is Balance.fixed or not options.next_token:
            return options.next_token, options.weight
        norms = [
            float(torch.autograd.grad(loss, states, retain_graph=True)[0].float().norm())
            for loss, states in (plain, taught)
        ]
        if not min(norms):  # one says nothing here, and the other would lose all weight to it
            return 1.0, 1.0
        shares = [1 / max(norm, 1e-12) for norm in norms]
        return shares[0] / sum(shares), shares[1] / sum(shares)

    def _views(self, batch: Batch, hidden: Tensor) -> tuple[View, View]:
        mine, theirs, count = flat_chunks(batch["chunks"], batch["teacher_chunks"])
        teacher = self._teacher[0].to(hidden.device)
        self._teacher[0] = teacher
        sides = []
        for model, states, ids, chunks, begins, shared in (
            (self.model, hidden, batch["input_ids"], mine, self.pairing.begins,
             self.pairing.shared),
            (teacher, self._taught_states(batch), batch["teacher_ids"], theirs,
             self.pairing.teacher_begins, self.pairing.teacher_shared),
        ):  # fmt: skip
            weight, bias = head_of(model)
            sides.append(View(
                states, weight, bias, ids, chunks, count,
                logit_softcap(model.config), logit_scale(model.config),
                begins.to(hidden.device), shared.to(hidden.device), self.config.loss_chunk_tokens,
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
