"""Where things sit in each family of models: the only file that knows family names.

Names are those of transformers 5 checkpoints. Embedding rows are always *raw* rows: what the file
stores and the output head multiplies with, before any input scale.
"""

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from transformers import PretrainedConfig

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
    backbone: str = "model"
    """Module path of the stack of layers inside the causal language model."""
    layers: str = "model.layers"
    final_norm: str = "model.norm"
    """Module path of the norm after the last layer."""
    attention: dict[str, str] = field(
        default_factory=lambda: {role: f"self_attn.{role}_proj" for role in "qkvo"}
    )
    """Role (q, k, v, o) -> module path inside a layer; fused families map roles to one module."""
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


_LLAMA = Anatomy(family="llama")
_PLAIN_FFN = {"up": "mlp.fc1", "down": "mlp.fc2"}
_GPT_J = Anatomy(
    family="gptj",
    parallel=True,
    input_embedding="transformer.wte.weight",
    head_bias="lm_head.bias",
    backbone="transformer",
    layers="transformer.h",
    final_norm="transformer.ln_f",
    attention={"q": "attn.q_proj", "k": "attn.k_proj", "v": "attn.v_proj", "o": "attn.out_proj"},
    feed_forward={"up": "mlp.fc_in", "down": "mlp.fc_out"},
)

_FAMILIES: dict[str, Anatomy] = {
    **{
        family: replace(_LLAMA, family=family)
        for family in (
            [
                "gemma",
                "llama",
                "mistral",
                "qwen2",
                "qwen3",
            ]
        )
    },
    **{
        family: replace(_LLAMA, family=family, branch_norm="post_feedforward_layernorm")
        for family in ("gemma2", "gemma3_text", "olmo2")
    },
    **{family: replace(_LLAMA, family=family, parallel=True) for family in ("cohere", "cohere2")},
    # The multimodal wrapper: only its text tower has tables; files written before transformers 5
    # put the tower first.
    "gemma3": replace(
        _LLAMA,
        family="gemma3",
        branch_norm="post_feedforward_layernorm",
        input_embedding="model.language_model.embed_tokens.weight",
        backbone="model.language_model",
        layers="model.language_model.layers",
        final_norm="model.language_model.norm",
        aliases={
            "model.language_model.embed_tokens.weight": (
                "language_model.model.embed_tokens.weight",
            ),
            "lm_head.weight": ("language_model.lm_head.weight",),
        },
    ),
    "phi3": replace(
        _LLAMA,
        family="phi3",
        attention={
            **dict.fromkeys("qkv", "self_attn.qkv_proj"),
            "o": "self_attn.o_proj",
        },
        feed_forward={**dict.fromkeys(("gate", "up"), "mlp.gate_up_proj"), "down": "mlp.down_proj"},
    ),
    "phi": replace(
        _LLAMA,
        family="phi",
        parallel=True,
        head_bias="lm_head.bias",
        final_norm="model.final_layernorm",
        attention={**_LLAMA.attention, "o": "self_attn.dense"},
        feed_forward=_PLAIN_FFN,
    ),
    "xglm": replace(
        _LLAMA,
        family="xglm",
        final_norm="model.layer_norm",
        attention={**_LLAMA.attention, "o": "self_attn.out_proj"},
        mlp=None,
        feed_forward={"up": "fc1", "down": "fc2"},
    ),
    "gptj": _GPT_J,
    "gpt2": replace(
        _GPT_J,
        family="gpt2",
        parallel=False,
        conv1d=True,
        head_bias=None,
        attention={**dict.fromkeys("qkv", "attn.c_attn"), "o": "attn.c_proj"},
        feed_forward={"up": "mlp.c_fc", "down": "mlp.c_proj"},
    ),
    # Files call the head "embed_out", before and after transformers 5; the module is "lm_head".
    "gpt_neox": Anatomy(
        family="gpt_neox",
        input_embedding="gpt_neox.embed_in.weight",
        backbone="gpt_neox",
        layers="gpt_neox.layers",
        final_norm="gpt_neox.final_layer_norm",
        attention={**dict.fromkeys("qkv", "attention.query_key_value"), "o": "attention.dense"},
        feed_forward={"up": "mlp.dense_h_to_4h", "down": "mlp.dense_4h_to_h"},
        aliases={"lm_head.weight": ("embed_out.weight",)},
    ),
}


def supported_families() -> list[str]:
    """Every ``model_type`` whose anatomy is known, sorted."""
    return sorted(_FAMILIES)


def anatomy_of(config: PretrainedConfig) -> Anatomy:
    """The anatomy of a model, by its ``config.model_type``.

    Raises:
        CompatibilityError: for an unknown family; names the known ones and the nearest.
    """
    return anatomy_of_family(config.model_type, getattr(config, "layer_types", None) or ())


def anatomy_of_family(family: str, layer_types: Iterable[str] = ()) -> Anatomy:
    """The anatomy of a family by its name.

    Raises:
        CompatibilityError: as ``anatomy_of``.
    """
    if family not in _FAMILIES:
        near = difflib.get_close_matches(family or "", _FAMILIES, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        kinds = set(layer_types)
        if foreign := sorted(kinds - {"full_attention", "sliding_attention"}):
            hint = f" It has layers of kind {', '.join(foreign)}, which no known family has."
        raise CompatibilityError(
            f"unknown model family {family!r}.{hint} Known: {', '.join(supported_families())}. "
            "A new family is one entry in franken/parts/anatomy.py."
        )
    return _FAMILIES[family]


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
