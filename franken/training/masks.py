"""Attention masks of packed sequences: a token sees its own document's past and nothing else.

transformers passes a ready four-dimensional mask through unchanged, and a dict of them in families
whose layers differ (``config.layer_types``: Gemma 2 and 3, Qwen 2 and 3, Cohere 2). Flash and flex
attention build theirs from ``position_ids`` that restart, so they get none from here.
"""

import torch
from torch import Tensor
from transformers import PreTrainedConfig

MASKED_ATTENTION = ("eager", "sdpa")
"""Attention implementations that read a ``(B, 1, L, L)`` mask."""

AttentionMask = Tensor | dict[str, Tensor] | None


def packed_attention_mask(
    config: PreTrainedConfig, segment_ids: Tensor, dtype: torch.dtype
) -> AttentionMask:
    """The block-diagonal causal mask in the form that the model's family reads.

    Args:
        config: the model's config; its attention implementation decides the form (bool, True =
            may look, for ``sdpa``; additive for ``eager``), its ``sliding_window`` the reach.
        segment_ids: ``(B, L)`` document numbers from 1; 0 is padding.
        dtype: dtype of the activations, for the additive form.

    Returns:
        ``(B, 1, L, L)`` mask, a dict of them by layer type, or ``None`` where the model's own
        causal mask is already right.
    """
    attention = getattr(config, "_attn_implementation", None) or "eager"
    if attention not in MASKED_ATTENTION:
        return None
    if bool((segment_ids == segment_ids[:, :1]).all()):
        return None  # one document per row
    return explicit_mask(config, segment_ids, attention, dtype)


def explicit_mask(
    config: PreTrainedConfig, segment_ids: Tensor, attention: str, dtype: torch.dtype
) -> AttentionMask:
    """As :func:`packed_attention_mask`, in the form of ``attention`` whatever the config says."""
    blocks = document_blocks(segment_ids)
    window = getattr(config, "sliding_window", None)
    layer_types = getattr(config, "layer_types", None)
    if layer_types is None:  # Mistral: one window for all layers
        return as_form(within_window(blocks, window), attention, dtype)
    full = as_form(blocks, attention, dtype)
    if window is None or window >= segment_ids.shape[1]:
        return dict.fromkeys(sorted(set(layer_types)), full)
    local = as_form(within_window(blocks, window), attention, dtype)
    return {kind: local if "sliding" in kind else full for kind in sorted(set(layer_types))}


def document_blocks(segment_ids: Tensor) -> Tensor:
    """``(B, 1, L, L)`` bool: query ``i`` may look at key ``j <= i`` of the same segment.

    Padding looks at padding, so that no row is empty (an empty softmax row is NaN).
    """
    same = segment_ids[:, None, :, None] == segment_ids[:, None, None, :]
    return same.tril()


def within_window(allowed: Tensor, window: int | None) -> Tensor:
    """Drop keys ``window`` or more positions back (transformers' convention)."""
    if window is None or window >= allowed.shape[-1]:
        return allowed
    return allowed.triu(1 - window)


def as_form(allowed: Tensor, attention: str, dtype: torch.dtype) -> Tensor:
    """Bool for ``sdpa``; 0 and the dtype's lowest value for ``eager``, which adds it."""
    if attention == "sdpa":
        return allowed
    lowest = torch.finfo(dtype).min
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(
        ~allowed, lowest
    )
