"""What each head of one layer takes from each stretch of a text (MATT, arXiv 2510.21954)."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

from franken.errors import CompatibilityError
from franken.parts.anatomy import text_config
from franken.training.frozen import FrozenModel
from franken.training.masks import explicit_mask

NAME = "franken_influence"


class _Seen(Exception):
    """The layer that was asked for has attended: nothing after it is wanted."""


@dataclass
class Attended:
    """Attention of one layer over a batch."""

    layer: int
    weights: Tensor = field(default_factory=lambda: torch.empty(0))
    """``(B, H, L, L)`` float32: queries, keys."""
    values: Tensor = field(default_factory=lambda: torch.empty(0))
    """``(B, H, L, d)`` float32; those of a group of heads are repeated."""


_WANTED: ContextVar[Attended] = ContextVar("franken_attended")


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, softcap: float | None = None, **_: Any,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Eager attention of ``(B, H, L, d)``; ends the pass at the layer that is wanted."""
    shared = query.shape[1] // key.shape[1]
    keys, values = (side.repeat_interleave(shared, 1) for side in (key, value))
    scores = (query @ keys.mT).float() * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    assert attention_mask is not None
    weights = scores.masked_fill(~attention_mask, -torch.inf).softmax(-1)
    wanted = _WANTED.get()
    if module.layer_idx == wanted.layer:
        wanted.weights, wanted.values = weights, values.float()
        raise _Seen
    return (weights.to(values.dtype) @ values).transpose(1, 2), weights


AttentionInterface.register(NAME, attend)


@contextmanager
def _attending(config: Any, wanted: Attended) -> Iterator[None]:
    before, token = config._attn_implementation, _WANTED.set(wanted)
    config._attn_implementation = NAME
    try:
        yield
    except _Seen:
        pass
    finally:
        config._attn_implementation = before
        _WANTED.reset(token)


def attended(frozen: FrozenModel, embedded: Tensor, segments: Tensor, layer: int) -> Attended:
    """Attention of a layer over documents ``(B, L)``, numbered from 1, 0 padding.

    Args:
        frozen: the model; gradients reach ``embedded``.
        embedded: ``(B, L, D)``.
        segments: ``(B, L)``; positions are counted within a row.
        layer: from 0.

    Raises:
        CompatibilityError: where this layer has no attention that transformers lets be watched.
    """
    config = text_config(frozen.model.config)
    mask = explicit_mask(frozen.model.config, segments, "sdpa", embedded.dtype)
    places = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    wanted = Attended(layer)
    with _attending(config, wanted):
        frozen.read(embedded, mask, places)
    if not wanted.weights.numel():
        raise CompatibilityError(
            f"layer {layer} of this {config.model_type} has no attention over single tokens that "
            "can be watched; take another init_method.layer, or another init_method"
        )
    return wanted


def influences(weights: Tensor, values: Tensor, chunks: Tensor) -> Tensor:
    """``(H, C, C, d)`` what the last token of chunk i takes from chunk j: ``sum_k A_ik v_k``.

    Args:
        weights: ``(H, L, L)``.
        values: ``(H, L, d)``.
        chunks: ``(L,)`` chunk of each token; below 0: none, as query and as key.
    """
    inside = (chunks >= 0).nonzero().flatten()
    numbers, owner, sizes = chunks[inside].unique(return_inverse=True, return_counts=True)
    last = torch.zeros_like(numbers).scatter_reduce(0, owner, inside, "amax")
    first = last - sizes + 1  # tokens of a chunk follow each other
    steps = torch.arange(int(sizes.max()), device=chunks.device)
    tokens = (first[:, None] + steps).clamp(max=len(chunks) - 1)
    own = (steps < sizes[:, None]).to(weights.dtype)
    taken = weights[:, last][:, :, tokens] * own  # (H, C, C, m)
    return torch.einsum("hijm,hjmd->hijd", taken, values[:, tokens])
