"""Training of a masked model by a larger one of the same vocabulary, layer by layer."""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from franken.distillation.common.layers import Reading
from franken.errors import CompatibilityError
from franken.parts.masked import read_masked
from franken.training.batches import Batch
from franken.training.distillation import Teaching
from franken.training.loss import IGNORED
from franken.training.masked import MaskedModule, documents
from franken.training.policy import head_of


class LayerwiseModule(MaskedModule):
    """As :class:`MaskedModule`; the teacher is no part of its state.

    Validation has the plain loss of hidden tokens, so that curves of all trainings compare.
    """

    one_pass = False

    def __init__(self, *arguments: Any, teaching: Teaching, **options: Any) -> None:
        """Args: those of ``MaskedModule``, and the teacher.

        Raises:
            CompatibilityError: where the teacher's width or heads are others.
        """
        super().__init__(*arguments, **options)
        teacher = teaching.teacher.eval().requires_grad_(False)
        for name in ("hidden_size", "num_attention_heads"):
            own, other = (getattr(m.config, name) for m in (self.model, teacher))
            if own != other:
                raise CompatibilityError(
                    f"the teacher's {name} is {other}, the student's {own}; layers are compared "
                    "number by number: thin the teacher by a step 'thin'"
                )
        for model in (self.model, teacher):
            model.set_attn_implementation("eager")  # others do not say where they looked
        self.distillation = teaching.distillation
        self._teacher = [teacher]  # in a list: no submodule, whose weights would be saved

    def summed_loss(self, batch: Batch) -> Tensor:
        """All losses, as a mean times the number of hidden tokens."""
        if not self.training:
            return super().summed_loss(batch)
        batch = self._hidden(batch)
        teacher = self._teacher[0].to(batch["input_ids"].device)
        counted = int((batch["labels"] != IGNORED).sum())
        plain = super().summed_loss(batch) if self.distillation.next_token else 0.0
        groups = documents(batch["input_ids"], batch["labels"], batch["segment_ids"])
        sums: dict[str, Tensor] = {}
        sizes: dict[str, int] = {}
        for ids, labels in groups:
            seen = (ids >= 0).long()
            own = reading(self.model, ids.clamp(min=0), seen, labels)
            with torch.no_grad():
                goal = reading(teacher, ids.clamp(min=0), seen, labels)
            for name, (loss, size) in self.distillation.of_layers(own, goal, seen).items():
                sums[name] = sums.get(name, loss.new_zeros(())) + size * loss
                sizes[name] = sizes.get(name, 0) + size
        if not sums:
            return super().summed_loss(batch)
        means = {name: loss / max(1, sizes[name]) for name, loss in sums.items()}
        self.measures = {name: float(loss.detach()) for name, loss in means.items()}
        taught = torch.stack(list(means.values())).sum()
        return self.distillation.next_token * plain + counted * taught


def reading(model: PreTrainedModel, ids: Tensor, seen: Tensor, labels: Tensor) -> Reading:
    """States and attention of all layers, and logits where there is a label.

    Args:
        model: masked, with plain attention.
        ids: ``(B, L)``.
        seen: ``(B, L)`` 1 where there is a token.
        labels: ``(B, L)``, -100 where none is.
    """
    states, output = read_masked(
        model, ids, seen, output_hidden_states=True, output_attentions=True
    )  # fmt: skip
    weight, bias = head_of(model)
    logits = torch.nn.functional.linear(states[labels != IGNORED], weight, bias)
    return Reading(tuple(output.hidden_states), tuple(output.attentions), logits)
