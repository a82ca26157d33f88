"""Where things sit in a model: read from the model itself by :mod:`franken.families`.

Names are those of transformers 5 checkpoints. Embedding rows are always *raw* rows: what the file
stores and the output head multiplies with, before any input scale.
"""

import difflib
import functools
import json
import math
from dataclasses import dataclass, field

from transformers import CONFIG_MAPPING, AutoConfig, PretrainedConfig

from franken.errors import ArtifactError, CompatibilityError


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

    def is_table_tensor(self, name: str) -> bool:
        """Whether a stored tensor belongs to the table, in any spelling."""
        return any(name in self.spellings(ours) for ours in self.table_tensors)


def anatomy_of(config: PretrainedConfig) -> Anatomy:
    """The anatomy of a model, read from the model that ``config`` describes.

    Raises:
        CompatibilityError: where no table could be put into such a model; says what is missing.
    """
    described = json.dumps(config.to_dict(), sort_keys=True, default=str)
    return _discovered(_Described(described, config))


def anatomy_of_family(family: str) -> Anatomy:
    """The anatomy of a family by its name, for its default config.

    Raises:
        CompatibilityError: as ``anatomy_of``, and for a type that transformers does not have.
    """
    if family not in CONFIG_MAPPING:
        near = difflib.get_close_matches(family or "", CONFIG_MAPPING.keys(), n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise CompatibilityError(
            f"transformers has no model type {family!r}.{hint} `python -m franken.families` lists "
            "those that franken works on"
        )
    return anatomy_of(AutoConfig.for_model(family))


@dataclass(frozen=True)
class _Described:
    """A config that is known by its text."""

    text: str
    config: PretrainedConfig = field(compare=False, hash=False)


@functools.lru_cache(maxsize=64)
def _discovered(described: _Described) -> Anatomy:
    from franken.families.discovery import discover  # which needs the class above

    return discover(described.config)


def text_config(config: PretrainedConfig) -> PretrainedConfig:
    """The part of the config that describes the text tower; the config itself for text models."""
    return config.get_text_config()


def embedding_scale(config: PretrainedConfig) -> float:
    """What raw input rows are multiplied by after lookup.

    Gemma 1 to 3: sqrt(D). XGLM: sqrt(D) where ``scale_embedding`` is set. Others: 1. The model
    applies it itself, in the dtype of the rows; output rows are never scaled.
    """
    text = text_config(config)
    if text.model_type.startswith("gemma") or getattr(text, "scale_embedding", False):
        return math.sqrt(text.hidden_size)
    return 1.0


def logit_softcap(config: PretrainedConfig) -> float | None:
    """``c`` where logits ``z`` become ``c * tanh(z / c)`` (Gemma 2); ``None`` elsewhere."""
    cap = getattr(text_config(config), "final_logit_softcapping", None)
    return None if cap is None else float(cap)


def logit_scale(config: PretrainedConfig) -> float:
    """Factor on the logits (Cohere, Aya); 1 elsewhere."""
    return float(getattr(text_config(config), "logit_scale", None) or 1.0)


def is_tied(config: PretrainedConfig) -> bool:
    """Whether input and output embeddings are one matrix."""
    return bool(getattr(config, "tie_word_embeddings", False))


def attention_implementation(config: PretrainedConfig) -> str | None:
    """``eager`` where attention logits are soft-capped, which SDPA ignores; else the default."""
    capped = getattr(text_config(config), "attn_logit_softcapping", None) is not None
    return "eager" if capped else None


_ENCODER_TABLES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("bert", "roberta", "xlm-roberta", "camembert", "electra", "albert", "distilbert",
         "deberta", "deberta-v2", "mpnet", "xlm-roberta-xl"),
        ("embeddings.word_embeddings.weight",),
    ),
    "modernbert": ("embeddings.tok_embeddings.weight",),
    **dict.fromkeys(
        ("t5", "mt5", "umt5", "bart", "mbart"), ("shared.weight", "encoder.embed_tokens.weight")
    ),
}  # fmt: skip
"""Families without a body of ours, whose token table can still be read: ends of tensor names."""


def donor_tables(config: PretrainedConfig, stored: list[str]) -> list[str]:
    """Names of the stored token tables of any encoder or decoder.

    Args:
        config: of the checkpoint.
        stored: names of its tensors.

    Returns:
        The input table, then the output table where there is an untied one.

    Raises:
        CompatibilityError: for an unknown family.
        ArtifactError: where the file has no such tensor.
    """
    ends = _ENCODER_TABLES.get(config.model_type)
    if ends is None:
        anatomy = anatomy_of(config)
        spellings = anatomy.spellings(anatomy.input_embedding)
        heads = anatomy.spellings(anatomy.output_head)
        found = [name for name in spellings if name in stored]
        if not found and is_tied(config):
            found = [name for name in heads if name in stored]
    else:
        found = [name for end in ends for name in stored if f".{name}".endswith(f".{end}")]
        heads = ("lm_head.weight",)
    if not found:
        raise ArtifactError(
            f"the {config.model_type} checkpoint stores no token table (looked for "
            f"{', '.join(ends or spellings)}); it is no plain transformers checkpoint"
        )
    # transformers 5 calls every T5 tied; a stored head says otherwise.
    tied = ends is None and is_tied(config)
    head = [] if tied else [name for name in heads if name in stored]
    return found[:1] + head[:1]
