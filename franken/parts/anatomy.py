"""Where things sit in a model: read from the model itself by :mod:`franken.families`.

Names are those of transformers 5 checkpoints. Embedding rows are always *raw* rows: what the file
stores and the output head multiplies with, before any input scale.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from franken.errors import ArtifactError, CompatibilityError, did_you_mean
from franken.families.anatomy import Anatomy, text_config
from franken.lazy import later

with later():
    from transformers import AutoConfig

    from franken.families.discovery import discover

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from franken.parts.plain_config import PlainModelConfig

__all__ = [
    "Anatomy",
    "anatomy_of",
    "anatomy_of_family",
    "attention_implementation",
    "donor_tables",
    "embedding_scale",
    "is_tied",
    "logit_scale",
    "logit_softcap",
    "text_config",
]


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
    refuse_unknown_type(family)
    return anatomy_of(AutoConfig.for_model(family))


def refuse_unknown_type(family: str) -> None:
    """Raise where transformers has no such model type, with the nearest ones."""
    from transformers import CONFIG_MAPPING

    if family not in CONFIG_MAPPING:
        raise CompatibilityError(
            f"transformers has no model type {family!r}."
            f"{did_you_mean(family, CONFIG_MAPPING)} "
            "`python -m franken.families` lists those that franken works on"
        )


@dataclass(frozen=True)
class _Described:
    """A config that is known by its text."""

    text: str
    config: PretrainedConfig = field(compare=False, hash=False)


@functools.lru_cache(maxsize=64)
def _discovered(described: _Described) -> Anatomy:
    return discover(described.config)


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
    """Factor on the logits (Cohere, Granite, Falcon-H1, HyperCLOVA X); 1 elsewhere."""
    text = text_config(config)
    if text.model_type.startswith(("granite", "minicpm3")):
        return 1.0 / float(getattr(text, "logits_scaling", None) or 1.0)
    names = {"hyperclovax": "logits_scaling", "falcon_h1": "lm_head_multiplier"}
    return float(getattr(text, names.get(text.model_type, "logit_scale"), None) or 1.0)


def is_tied(config: PretrainedConfig | PlainModelConfig) -> bool:
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
