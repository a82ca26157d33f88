"""Training of a head that labels texts or words, with as much of the model as a policy frees."""

import contextlib
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from franken.parts.label_head import LabelHead
from franken.parts.label_set import LabelledUnit
from franken.training.batches import Batch, count_labels
from franken.training.loss import IGNORED
from franken.training.module import CausalModule
from franken.training.policy import PolicyReport


class LabelModule(CausalModule):
    """As :class:`CausalModule`, for a head on the body of a masked language model."""

    masked: ClassVar[bool] = True
    leaves_out: ClassVar[bool] = True
    head: LabelHead

    def __init__(self, *arguments: Any, head: LabelHead, **options: Any) -> None:
        """Args: those of ``CausalModule``, and the ``head``, which the model holds."""
        super().__init__(*arguments, **options)
        # not a child of its own: its parameters are found in the model, once
        object.__setattr__(self, "head", head)

    def summed_loss(self, batch: Batch) -> Tensor:
        """Negative log-likelihood of the labels in nats, summed over texts or words.

        With a teacher, in training: that of what it says, ``-sum_c p_c log q_c``.
        """
        head = self.head
        glue: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if self.policy.body_dtype == "bfloat16":
            glue = torch.autocast(batch["input_ids"].device.type, dtype=torch.bfloat16)
        seen = (batch["segment_ids"] > 0).long()
        with glue:
            logits = head.logits(batch["input_ids"], seen)
        whole = head.labels.unit is LabelledUnit.sentence
        wanted = batch["labels"][:, 0] if whole else batch["labels"].flatten()
        if head.teacher is not None and self.training:
            said = self._said(head.teacher, batch["input_ids"], seen).view(len(wanted), -1)
            counted = wanted != IGNORED
            own = logits.float().view(len(wanted), -1)[counted]
            return F.cross_entropy(own, said[counted], reduction="sum")
        return F.cross_entropy(
            logits.float().view(len(wanted), -1), wanted, ignore_index=IGNORED, reduction="sum"
        )

    @torch.no_grad()
    def _said(self, teacher: LabelHead, ids: Tensor, seen: Tensor) -> Tensor:
        """The teacher's probabilities, in the form of its logits."""
        teacher.classifier.eval().to(ids.device)
        return teacher.logits(ids, seen).float().softmax(-1)

    def counted(self, batch: Batch) -> Tensor:
        """Texts or words of a batch."""
        return torch.tensor(count_labels(batch), device=batch["labels"].device)


def release_head(head: LabelHead, model: PreTrainedModel, policy: PolicyReport) -> None:
    """Let a head train that the model holds, whatever the policy says; the policy learns of it."""
    added = [p for p in head.parameters().values() if not p.requires_grad]
    for parameter in head.parameters().values():
        parameter.requires_grad_(True)
        parameter.data = parameter.data.float()
    for module in head.modules():
        module.train()
    policy.names = [name for name, p in model.named_parameters() if p.requires_grad]
    policy.trained_parameters += sum(p.numel() for p in added)
