"""What a masked language model's head reads: states behind its transform, where they are wanted."""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel


def states_at_head(model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """``(B, L, D)`` states that the output rows are multiplied with; see :func:`read_masked`."""
    return read_masked(model, input_ids, attention_mask)[0]


def read_masked(
    model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, **options: Any
) -> tuple[Tensor, Any]:
    """``(B, L, D)`` states that the output rows are multiplied with.

    They are caught at the entrance of the head, so that every family's own transform (dense,
    activation, norm) has been run; no logits are formed.

    Args:
        model: a masked language model.
        input_ids: ``(B, L)``, padded on the right.
        attention_mask: ``(B, L)``, 1 where there is a token.
        options: of the forward pass.

    Returns:
        The states, and what the forward pass gave.
    """
    head: Any = model.get_output_embeddings()
    caught: list[Tensor] = []

    def catch(module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        caught.append(inputs[0])
        return (inputs[0][:, :0],)

    handle = head.register_forward_pre_hook(catch)
    try:
        output = model(input_ids=input_ids, attention_mask=attention_mask, **options)
    finally:
        handle.remove()
    return caught[0], output


def logits_at(
    model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, places: Tensor
) -> Tensor:
    """``(B, V)`` float32 logits, of one place of each row.

    Args:
        model: a masked language model.
        input_ids: ``(B, L)``.
        attention_mask: ``(B, L)``.
        places: ``(B,)``, which one.
    """
    states = states_at_head(model, input_ids, attention_mask)
    rows = torch.arange(len(places), device=places.device)
    head: Any = model.get_output_embeddings()
    logits: Tensor = head(states[rows, places]).float()
    return logits
