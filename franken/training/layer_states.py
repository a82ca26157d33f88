"""States of sentences at one layer, pooled."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from franken.errors import CompatibilityError
from franken.pair_loss.base import Pooling
from franken.parts.anatomy import anatomy_of
from franken.training.batches import Batch
from franken.training.masks import packed_attention_mask


class _Reached(Exception):
    """The layer is done; those above it need not run."""


def layer_number(share: float, depth: int) -> int:
    """The layer at a share of the depth, counted from 1.

    Raises:
        CompatibilityError: where the model has no layers in a row.
    """
    if not depth:
        raise CompatibilityError(
            "pair_loss reads the output of a layer, and no list of layers was recognised in this "
            "model; leave pair_loss out"
        )
    return min(depth, max(1, round(share * depth)))


def sentence_states(model: PreTrainedModel, batch: Batch, *, narrow: bool = False) -> Tensor:
    """``(B, L, D)`` last states of a body that reads a sentence a row.

    Args:
        model: causal or masked; heads take no part.
        batch: ``input_ids``, ``position_ids`` and ``segment_ids`` (0: padding), ``(B, L)`` each.
        narrow: whether the body's frozen weights are in bfloat16.
    """
    ids, segments = batch["input_ids"], batch["segment_ids"]
    glue: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if narrow:
        glue = torch.autocast(ids.device.type, dtype=torch.bfloat16)
    anatomy = anatomy_of(model.config)
    with glue:
        if anatomy.masked:
            body: Any = getattr(model, model.base_model_prefix)
            output = body(input_ids=ids, attention_mask=segments)
        else:
            rows = model.get_input_embeddings()(ids)
            rows = rows.to(torch.bfloat16) if narrow else rows
            backbone: Any = model.get_submodule(anatomy.backbone)
            output = backbone(
                inputs_embeds=rows, position_ids=batch["position_ids"], use_cache=False,
                attention_mask=packed_attention_mask(model.config, segments, rows.dtype),
            )  # fmt: skip
    states: Tensor = output.last_hidden_state
    return states


def states_behind(layers: Sequence[nn.Module], number: int, run: Callable[[], Tensor]) -> Tensor:
    """``(B, L, D)`` output of the layer ``number`` of ``layers``, from 1.

    Args:
        layers: in order.
        number: the last one means what ``run`` returns, behind the last norm.
        run: reads the sentences; ended when the layer is done.
    """
    if number == len(layers):
        return run()
    caught: list[Tensor] = []

    def catch(_: Any, __: Any, output: Any) -> None:
        caught.append(output[0] if isinstance(output, tuple) else output)
        raise _Reached

    handle = layers[number - 1].register_forward_hook(catch)
    try:
        run()
    except _Reached:
        pass
    finally:
        handle.remove()
    return caught[0]


def pooled(states: Tensor, segments: Tensor, control: Tensor, how: Pooling) -> Tensor:
    """``(B, D)`` float32: one state a sentence.

    Args:
        states: ``(B, L, D)``.
        segments: ``(B, L)``, 1 where there is a token, 0 padding on the right.
        control: ``(B, L)``, 1 at control tokens. A sentence of nothing else counts all of them.
        how: mean, first or last.
    """
    states = states.float()
    if how is Pooling.first:
        return states[:, 0]
    own = (segments > 0) & (control == 0)
    own = torch.where(own.any(1, keepdim=True), own, segments > 0)
    if how is Pooling.mean:
        weights = own.to(states) / own.sum(1, keepdim=True)
        return torch.einsum("bl,bld->bd", weights, states)
    places = torch.arange(own.shape[1], device=own.device)
    last = torch.where(own, places, -1).amax(1)
    return states[torch.arange(len(states), device=states.device), last]
