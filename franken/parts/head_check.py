"""Whether a model's logits are what franken makes of its states: head, factor and bound."""

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from franken.errors import CompatibilityError
from franken.parts.anatomy import anatomy_of, logit_scale, logit_softcap

_PROBE = (1, 2, 3, 5)
"""Token ids that are read, modulo the rows of the table."""
_ROUNDINGS = 4
"""Roundings of the logits' own format by which two orders of the same operations may differ."""

_verdicts: "weakref.WeakKeyDictionary[Any, tuple[Any, str | None]]" = weakref.WeakKeyDictionary()


def check_head(model: PreTrainedModel) -> None:
    """Refuse a model whose logits are not ``softcap(scale * (h W^T + b))`` of its backbone.

    Raises:
        CompatibilityError: says by how much the two differ.
    """
    if difference := head_difference(model):
        raise CompatibilityError(
            f"{type(model).__name__}: {difference}; training reads the head from the states of "
            f"{anatomy_of(model.config).backbone!r} and would learn from wrong logits. Evaluation "
            "uses the model's own forward pass"
        )


def head_difference(model: PreTrainedModel) -> str | None:
    """How the model's own logits differ from those of backbone and head; ``None``: they do not.

    Both are computed once per model for four token ids; weights of several number formats (a
    float32 table over a bfloat16 body) under autocast to the narrowest. Nothing can be told, and
    ``None`` comes back, where weights are not there yet (meta device), belong to several joined
    tables, have formats that no autocast joins, or all logits are 0.
    """
    rows: Any = getattr(model.get_input_embeddings(), "weight", None)
    head: Any = model.get_output_embeddings()
    formats = {p.dtype for p in model.parameters() if p.is_floating_point()}
    narrowest = min(formats, key=lambda dtype: dtype.itemsize, default=None)
    if rows is None or any(p.is_meta for p in model.parameters()):
        return None
    if len(formats) > 1 and narrowest not in (torch.bfloat16, torch.float16):
        return None
    rule = logit_scale(model.config), logit_softcap(model.config)
    known = _verdicts.get(model)
    if known is not None and known[0] == rule:
        return known[1]
    several = len(formats) > 1
    try:
        with torch.autocast(rows.device.type, dtype=narrowest, enabled=several):
            own, made = _both(model, head, rows)
    except RuntimeError:
        if several:  # a norm with float32 states and bfloat16 weights, say
            return None
        raise
    if own.shape == made.shape and not own.any() and not made.any():
        return None
    verdict = _compared(own, made, model.get_submodule(anatomy_of(model.config).backbone))
    _verdicts[model] = rule, verdict
    return verdict


def capped(raw: Tensor, scale: float, cap: float | None) -> Tensor:
    """``softcap(scale * raw)`` of ``(..., V)`` float32 products; ``raw`` may be overwritten."""
    values = raw if scale == 1.0 else raw * scale
    return values.div_(cap).tanh_().mul_(cap) if cap else values


def _both(model: PreTrainedModel, head: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
    """``(L, V)`` logits of the model itself, and of its backbone with the head."""
    ids = torch.tensor([[i % len(rows) for i in _PROBE]], device=rows.device)
    backbone: Any = model.get_submodule(anatomy_of(model.config).backbone)
    with torch.no_grad(), _evaluating(model):
        own = model(input_ids=ids).logits[0]
        states = backbone(input_ids=ids).last_hidden_state[0]
        made = head(states.to(head.weight.dtype))
    scale, cap = logit_scale(model.config), logit_softcap(model.config)
    made = made.to(own.dtype).float() if own.dtype is torch.bfloat16 else made.float()
    return own, capped(made, scale, cap)


def _compared(own: Tensor, made: Tensor, backbone: Any) -> str | None:
    if own.shape != made.shape:
        return f"its logits have shape {tuple(own.shape)}, those of its head {tuple(made.shape)}"
    widest = own.float().abs().max()
    formats = (own.dtype, *(p.dtype for p in backbone.parameters() if p.is_floating_point()))
    eps = max(torch.finfo(dtype).eps for dtype in formats)
    allowed = widest * (_ROUNDINGS * eps + torch.finfo(torch.float32).eps * 256)
    apart = (own.float() - made).abs().max()
    if bool(apart <= allowed):  # False for NaN, too
        return None
    ratio = float((own.float() * made).sum() / (made * made).sum())
    return (
        f"its own logits (largest {float(widest):.4g}) are up to {float(apart):.4g} away from "
        f"those of its head on its states; the factor that fits best is {ratio:.4g}"
    )


@contextlib.contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Without dropout for a moment."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
