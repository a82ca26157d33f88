"""Names of a family's tensors and modules, as one value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_OTHER_HEADS = re.compile(
    r"(^|\.)(pooler|seq_relationship|sop_classifier|discriminator_predictions)\.|"
    r"(^|\.)embeddings\.position_ids$"
)
_NOT_WEIGHTS = re.compile(r"(^|\.)(rotary_emb\.inv_freq|(attn|attention)\.(bias|masked_bias))$")
"""Buffers that old files store (frequencies, causal masks) and new ones do not."""


@dataclass(frozen=True)
class Anatomy:
    """Tensor names and module paths of one family.

    Tensor names (``input_embedding``, ``output_head``, ``head_bias``) are those of the causal
    language model's ``state_dict``. Older files may spell them otherwise; see ``aliases``.
    """

    family: str
    """``config.model_type`` this was chosen for."""
    input_embedding: str = "model.embed_tokens.weight"
    output_head: str = "lm_head.weight"
    """Name of the output table where it is untied."""
    head_bias: str | None = None
    width: int = 0
    """D: length of a row. Most often the hidden size of the layers."""
    backbone: str = "model"
    """Module path of the stack of layers inside the causal language model."""
    layers: str = "model.layers"
    """Module path of the list of layers; empty where there is none."""
    final_norm: str = "model.norm"
    """Module path of the norm after the last layer."""
    attention: dict[str, str] = field(
        default_factory=lambda: {role: f"self_attn.{role}_proj" for role in "qkvo"}
    )
    """Role (q, k, v, o) -> module path inside a layer; fused families map roles to one module.
    Empty where a layer has no such projections, or they are not recognised."""
    mlp: str | None = "mlp"
    """Module path of the feed-forward block inside a layer; ``None`` where it is not one module."""
    feed_forward: dict[str, str] = field(
        default_factory=lambda: {role: f"mlp.{role}_proj" for role in ("gate", "up", "down")}
    )
    """Role (gate, up, down) -> module path inside a layer; families without a gate lack it."""
    branch_norm: str | None = None
    """Module path inside a layer of the norm between the feed-forward block and the residual sum;
    ``None`` where the block's output is added as it is. Families with one also norm the attention
    output."""
    parallel: bool = False
    """Whether attention and feed-forward block read the same input and are added together. GPT-NeoX
    decides by ``config.use_parallel_residual``."""
    conv1d: bool = False
    """Whether projections are stored ``(in, out)``, as transformers' ``Conv1D`` has them."""
    masked: bool = False
    """Whether it guesses hidden tokens (BERT), not next ones."""
    positions_from_padding: bool = False
    """Whether positions are counted from the id of the padding token (RoBERTa, XLM-R): another
    id there would shift every position of the body."""
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Tensor name -> other spellings found in files."""

    def spellings(self, name: str) -> tuple[str, ...]:
        """Every name that ``name`` may have in a file, the usual one first.

        Checkpoints saved from a bare backbone (GPT-2 on the hub) lack its prefix.
        """
        bare = name.removeprefix(f"{self.backbone}.")
        return tuple(dict.fromkeys((name, *self.aliases.get(name, ()), bare)))

    @property
    def table_tensors(self) -> tuple[str, ...]:
        """Names of the tensors that belong to the table, not to the body."""
        return tuple(
            name for name in (self.input_embedding, self.output_head, self.head_bias) if name
        )

    def is_other_head(self, name: str) -> bool:
        """Whether a stored tensor serves another task than the language model's.

        BERT's files on the hub carry the pooler and the next-sentence head; they stay in the file.
        """
        return self.masked and _OTHER_HEADS.search(name) is not None

    def is_table_tensor(self, name: str) -> bool:
        """Whether a stored tensor belongs to the table, in any spelling."""
        return any(name in self.spellings(ours) for ours in self.table_tensors)

    def body_names(self, names: Iterable[str]) -> list[str]:
        """Those of stored tensors that make the body: no tables, no stored constants."""
        tables = {spelling for ours in self.table_tensors for spelling in self.spellings(ours)}
        return [
            name
            for name in names
            if not (name in tables or self.is_other_head(name) or _NOT_WEIGHTS.search(name))
        ]


def text_config(config: Any) -> Any:
    """The part of the config that describes the text tower; the config itself for text models."""
    return config.get_text_config()
