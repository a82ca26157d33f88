"""What a training phase changes: gradients, number formats and train/eval modes per policy.

Franken-Adapter 2.4 (embeddings), 2.5 (body), 2.7 (lora). What trains is kept in float32 whatever
the model was loaded in: near 0.05 a bfloat16 weight has a spacing of 2.4e-4, and an Adam step of
1e-5 would round to nothing.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from franken.config.training import (
    ADDS_LORA,
    TRAINED_ADAPTER,
    BodyType,
    EmbeddingSides,
    Trainable,
    TrainingConfig,
)
from franken.errors import CompatibilityError, ConfigError
from franken.parts.anatomy import Anatomy, anatomy_of
from franken.parts.bottleneck import AdapterShape, add_adapter
from franken.parts.fusion import fusions
from franken.parts.segmented import Head, segmented, written_heads
from franken.training.lora import LORA_MARK, add_lora, lora_modules
from franken.training.quantised import quantise_frozen

log = logging.getLogger(__name__)


@dataclass
class PolicyReport:
    """What a policy did to a model."""

    trainable: Trainable
    names: list[str]
    """Names of the trainable parameters, tied ones once."""
    trained_parameters: int
    all_parameters: int
    tied: bool
    body_dtype: str
    quantised: str | None = None
    """``int8`` or ``nf4``: the format of frozen linear layers, where it is not ``body_dtype``."""
    frozen_rows: list[int] = field(default_factory=list)
    """Table rows that keep their values although the table trains."""
    adapted: Any = field(default=None, repr=False)
    """The ``PeftModel`` around the model; ``None`` without LoRA."""

    def to_json(self) -> dict[str, Any]:
        """Plain data without the long lists."""
        return {
            "trainable": self.trainable.value,
            "trained_parameters": self.trained_parameters,
            "all_parameters": self.all_parameters,
            "tied": self.tied,
            "body_dtype": self.body_dtype,
            "frozen_rows": len(self.frozen_rows),
            **({} if self.quantised is None else {"quantised": self.quantised}),
        }


def apply_policy(
    model: PreTrainedModel,
    trainable: Trainable,
    config: TrainingConfig,
    *,
    body_dtype: torch.dtype = torch.float32,
    special_rows: Sequence[int] = (),
    seed: int = 0,
) -> PolicyReport:
    """Set ``requires_grad``, dtypes and train/eval modes in place.

    Args:
        model: causal LM of a known family, without adapters.
        trainable: what changes.
        config: reads ``sides``, ``lora``, ``adapter``, ``edge_layers``, ``freeze_norms``,
            ``freeze_special_rows``, and whether ``body_dtype`` asks for 8 or 4 bits.
        body_dtype: number format of everything frozen (see :func:`frozen_dtype`).
        special_rows: token ids of control tokens, for ``freeze_special_rows``.
        seed: of the initial LoRA weights.

    Raises:
        CompatibilityError: the model carries LoRA adapters; there is no fusion to train; 8 or 4
            bits and no layer to quantise.
    """
    adapter = next((name for name, _ in model.named_parameters() if LORA_MARK in name), None)
    if adapter is not None:
        raise CompatibilityError(
            f"the model to train carries LoRA adapters already ({adapter}); merge its deltas first"
        )
    anatomy = anatomy_of(model.config)
    tables = embedding_parameters(model)
    chosen: list[nn.Parameter]
    adapted = None
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    if trainable in ADDS_LORA:
        adapted = add_lora(model, anatomy, config.lora, seed=seed)
        chosen = [p for name, p in model.named_parameters() if LORA_MARK in name]
        if trainable is Trainable.lora_and_embeddings:
            chosen += _of_sides(model, config.sides)
    elif trainable is Trainable.adapter:
        chosen = list(add_adapter(model, adapter_shape(config), TRAINED_ADAPTER, seed=seed))
    elif trainable is Trainable.fusion:
        chosen = [p for place in fusions(model) for p in place.own_parameters()]
    elif trainable is Trainable.embeddings:
        chosen = _of_sides(model, config.sides)
    elif trainable is Trainable.embeddings_and_edge_layers:
        edges = edge_layers(model, anatomy, config.edge_layers)
        chosen = tables + [p for layer in edges for p in layer.parameters()]
    elif trainable is Trainable.body:
        chosen = [p for p in model.parameters() if not _contains(tables, p)]
    else:
        chosen = list(model.parameters())
    frozen = _frozen_tables(model) + (norm_parameters(model) if config.freeze_norms else [])
    chosen = [p for p in chosen if not _contains(frozen, p)]
    converted = any(p.dtype != body_dtype for p in model.parameters() if not _contains(chosen, p))
    for parameter in model.parameters():
        training = _contains(chosen, parameter)
        parameter.requires_grad_(training)
        _set_dtype(parameter, torch.float32 if training else body_dtype, alone=converted)
    count = sum(p.numel() for p in model.parameters())
    quantised = config.quantises(trainable)
    if quantised:
        quantise_frozen(model, config.body_dtype, tables)
    elif config.body_dtype.quantised:
        log.warning(
            "body_dtype=%s is for frozen bodies: with trainable=%s the body stays as it is",
            config.body_dtype, trainable.value,
        )  # fmt: skip
    _set_modes(model, anatomy, trainable, config)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    report = PolicyReport(
        trainable=trainable,
        names=names,
        trained_parameters=sum(p.numel() for p in chosen),
        all_parameters=count,
        tied=is_tied(model),
        body_dtype=str(body_dtype).removeprefix("torch."),
        quantised=config.body_dtype.value if quantised else None,
        adapted=adapted,
    )
    if any(p.requires_grad for p in tables):
        report.frozen_rows = _rows_to_keep(model, special_rows, config.freeze_special_rows)
    log.info(
        "training %s: %d of %d parameters (%.2f %%)",
        trainable.value,
        report.trained_parameters,
        report.all_parameters,
        100 * report.trained_parameters / max(1, report.all_parameters),
    )
    return report


def adapter_shape(config: TrainingConfig) -> AdapterShape:
    """How the adapter of a phase is built."""
    return AdapterShape(**vars(config.adapter))


def control_rows(tokenizer: Any) -> list[int]:
    """Ids of control tokens: bos, eos, turn markers and all other special ones."""
    if tokenizer is None:
        return []
    added = tokenizer.added_tokens_decoder.items()
    return sorted({*tokenizer.all_special_ids, *(i for i, token in added if token.special)})


def frozen_dtype(choice: BodyType, device_type: str, mixed_bf16: bool) -> torch.dtype:
    """The number format of frozen weights; ``auto`` is bfloat16 in bf16 runs on a GPU with it.

    So are the norms and biases around quantised layers.
    """
    if choice is BodyType.bfloat16:
        return torch.bfloat16
    capable = device_type == "cuda" and torch.cuda.is_bf16_supported()
    open_ = choice is not BodyType.float32
    return torch.bfloat16 if open_ and mixed_bf16 and capable else torch.float32


def embedding_parameters(model: PreTrainedModel) -> list[nn.Parameter]:
    """Input rows, output rows and head bias, each object once."""
    return _of_sides(model, EmbeddingSides.both)


def norm_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Weights and biases of the modules whose class is called a norm (LayerNorm, RMSNorm, ...)."""
    norms = [m for m in model.modules() if "norm" in type(m).__name__.lower()]
    return [p for norm in norms for p in norm.parameters(recurse=False) if p.ndim == 1]


def heads_of(model: PreTrainedModel) -> list[Head]:
    """The heads that labels may belong to: one, or those of a Hydra LLM's written tables."""
    several = segmented(model)
    return [Head(0, *head_of(model))] if several is None else written_heads(several)


def head_of(model: PreTrainedModel) -> tuple[Tensor, Tensor | None]:
    """Weight ``(V, D)`` and bias ``(V,)`` of the output head."""
    head = model.get_output_embeddings()
    if head is None:
        raise CompatibilityError(f"{type(model).__name__} has no output head; load a causal LM")
    return head.weight, getattr(head, "bias", None)


def is_tied(model: PreTrainedModel) -> bool:
    """Whether input and output rows are one parameter (of a Hydra LLM: of the written table)."""
    several = segmented(model)
    if several is not None:
        first: Any = several.members[0]
        return bool(first.tied)
    return model.get_input_embeddings().weight is head_of(model)[0]


def edge_layers(model: PreTrainedModel, anatomy: Anatomy, count: int) -> list[nn.Module]:
    """The first and last ``count`` layers, without repetition."""
    layers = list(model.get_submodule(anatomy.layers).children())
    if 2 * count >= len(layers):
        raise ConfigError(
            f"edge_layers={count} at both ends covers all {len(layers)} layers of the model; "
            f"choose at most {max(0, (len(layers) - 1) // 2)}, or trainable=full"
        )
    return layers[:count] + layers[-count:]


def _of_sides(model: PreTrainedModel, sides: EmbeddingSides) -> list[nn.Parameter]:
    """Parameters that ``sides`` names; a tied table is both sides whatever is asked."""
    several = segmented(model)
    if several is not None:
        members: list[Any] = list(several.members)
        found = [p for m in members for p in _of_one(m.embedding.weight, m.head, sides)]
        return list(dict.fromkeys(found))
    head: Any = model.get_output_embeddings()
    head_of(model)
    return _of_one(model.get_input_embeddings().weight, head, sides)


def _of_one(rows: Any, head: Any, sides: EmbeddingSides) -> list[nn.Parameter]:
    weight, bias = head.weight, getattr(head, "bias", None)
    tied = weight is rows
    chosen: list[Any] = []
    if tied or sides is not EmbeddingSides.output:
        chosen.append(rows)
    if tied or sides is not EmbeddingSides.input:
        chosen += [bias] if tied else [weight, bias]
    return [parameter for parameter in chosen if parameter is not None]


def _frozen_tables(model: PreTrainedModel) -> list[nn.Parameter]:
    """Rows of a Hydra LLM's tables that training leaves alone."""
    several = segmented(model)
    members: list[Any] = [] if several is None else list(several.members)
    return [p for member in members if member.frozen for p in member.parameters()]


def _contains(parameters: Sequence[nn.Parameter], one: nn.Parameter) -> bool:
    return any(one is p for p in parameters)


def _set_dtype(parameter: nn.Parameter, dtype: torch.dtype, *, alone: bool) -> None:
    """Change the format inside the parameter, so that tied modules keep sharing it.

    ``alone``: in memory of its own. A checkpoint's file stays mapped as long as one weight lies in
    it, with all that those which were converted left there.
    """
    if parameter.is_floating_point() and (alone or parameter.dtype != dtype):
        parameter.data = parameter.data.to(dtype, copy=alone)


def _set_modes(
    model: PreTrainedModel, anatomy: Anatomy, trainable: Trainable, config: TrainingConfig
) -> None:
    """Dropout only where something trains: frozen parts stay in ``eval``."""
    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    if trainable is Trainable.full:
        model.train()
        return
    if trainable is Trainable.body:
        model.train()
        for module in ends:
            module.eval()
        return
    model.eval()
    if trainable in (Trainable.adapter, Trainable.fusion):  # they have no dropout
        return
    if trainable is Trainable.lora:
        ends = lora_modules(model)
    elif trainable is Trainable.lora_and_embeddings:
        ends += lora_modules(model)
    elif trainable is Trainable.embeddings_and_edge_layers:
        ends += edge_layers(model, anatomy, config.edge_layers)
    for module in ends:
        module.train()


def _rows_to_keep(
    model: PreTrainedModel, special_rows: Sequence[int], freeze_special: bool
) -> list[int]:
    """The padding row (unless it doubles as a written token), and control rows when asked.

    ``nn.Embedding(padding_idx=...)`` blocks the input side only; the tied head would still move
    the row.
    """
    if segmented(model) is not None:
        if freeze_special:
            raise ConfigError(
                "freeze_special_rows is not available for models with several tables, whose "
                "control tokens have other ids in each"
            )
        return []
    rows = set(special_rows) if freeze_special else set()
    end = model.config.eos_token_id
    written = {model.config.bos_token_id, *(end if isinstance(end, list) else [end])}
    if model.config.pad_token_id is not None and model.config.pad_token_id not in written:
        rows.add(model.config.pad_token_id)
    count = len(head_of(model)[0])
    return sorted(row for row in rows if 0 <= row < count)
