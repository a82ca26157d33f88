"""Bodies on disk: a checkpoint without its table, and models loaded with a placeholder for one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from franken.errors import ArtifactError, CompatibilityError
from franken.families.layouts import GENERATION_DEFAULTS
from franken.files import read_json, write_json
from franken.lazy import later
from franken.parts.anatomy import (
    Anatomy,
    anatomy_of,
    attention_implementation,
    is_tied,
    text_config,
)
from franken.parts.checkpoint import Checkpoint
from franken.parts.config_edits import unique_configs
from franken.parts.control_tokens import ControlTokens, configs_of, control_tokens_of
from franken.parts.fingerprint import body_fingerprint, body_tensors
from franken.parts.plain_config import PlainConfig
from franken.parts.stored_tokenizer import StoredTokenizer
from franken.parts.tokenizer_files import load_checkpoint_tokenizer

with later():
    import torch
    from safetensors import safe_open
    from torch import Tensor
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel
    from transformers import PreTrainedTokenizerBase as Tokenizer
    from transformers.utils import logging as transformers_logging

    from franken.families.objective import model_class

DESCRIPTION_FILE = "body.json"
SCHEMA = 1
MAX_SHARD_SIZE = "5GB"


def save_body(
    model: PreTrainedModel,
    directory: Path,
    *,
    tokenizer: Tokenizer | None = None,
    lineage: str | None = None,
) -> str:
    """Write a model's config and weights without its table.

    Args:
        model: a causal language model of a known family, without unmerged adapters.
        directory: where to; created if need be.
        tokenizer: what the special-token ids in the model's configs refer to; written to
            ``body.json`` by name, so that another vocabulary can take them over.
        lineage: fingerprint of the base body this one descends from; default: its own.

    Returns:
        The body's fingerprint.
    """
    anatomy = _anatomy_without_adapters(model)
    directory.mkdir(parents=True, exist_ok=True)
    tensors = model.state_dict().items()
    kept = {name: tensor for name, tensor in tensors if not anatomy.is_table_tensor(name)}
    with quiet_transformers():
        model.save_pretrained(
            str(directory),
            state_dict=dict(kept),  # emptied while it is written
            max_shard_size=MAX_SHARD_SIZE,
        )
    _record_dtype(directory, kept)
    tokens = control_tokens_of(configs_of(model), tokenizer) if tokenizer is not None else None
    return describe_body(directory, anatomy, tokens=tokens, lineage=lineage)


def describe_body(
    directory: Path, anatomy: Anatomy, *, tokens: ControlTokens | None, lineage: str | None
) -> str:
    """Write ``body.json`` beside a body's weights.

    Args:
        directory: holds the weights.
        anatomy: of their family.
        tokens: what the special-token ids in the configs mean; ``None`` where it is not known.
        lineage: fingerprint of the base body; default: its own.

    Returns:
        The body's fingerprint.
    """
    fingerprint = body_fingerprint(directory, anatomy)
    write_json(
        directory / DESCRIPTION_FILE,
        {
            "kind": "body",
            "schema": SCHEMA,
            "family": anatomy.family,
            "fingerprint": fingerprint,
            "lineage": lineage or fingerprint,
            "control_tokens": None if tokens is None else tokens.to_json(),
        },
    )
    return fingerprint


def _record_dtype(directory: Path, tensors: dict[str, Tensor]) -> None:
    """Write the body's number format into ``config.json``, where that of a wider table may be."""
    dtype = next((t.dtype for t in tensors.values() if t.is_floating_point()), None)
    config = read_json(directory / "config.json")
    for part in (config, config.get("text_config")):
        if part is not None and dtype is not None and "dtype" in part:
            part["dtype"] = str(dtype).removeprefix("torch.")
    write_json(directory / "config.json", config)


def control_tokens_of_body(directory: Path) -> ControlTokens | None:
    """What the special-token ids in a body's configs mean, from ``body.json`` or its tokenizer.

    ``None`` where the directory tells neither.
    """
    description = directory / DESCRIPTION_FILE
    if description.is_file():
        recorded = read_json(description).get("control_tokens")
        return None if recorded is None else ControlTokens.from_json(recorded)
    if (directory / "tokenizer_config.json").is_file():
        tokenizer = StoredTokenizer.of(directory) or load_checkpoint_tokenizer(directory)
        return control_tokens_of(unique_configs(*stored_configs(Checkpoint(directory))), tokenizer)
    return None


def stored_configs(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Model config, and generation config if any; plain ones where a known layout suffices."""
    config, directory = checkpoint.plain_config(), checkpoint.directory
    if config is None:
        return checkpoint.config(), stored_generation_config(directory)
    path = directory / "generation_config.json"
    if not path.is_file():
        return config, None
    try:
        return config, PlainConfig(read_json(path), GENERATION_DEFAULTS, path.name)
    except (ValueError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged: {error}; fetch it again") from error


def stored_generation_config(directory: Path) -> GenerationConfig | None:
    """``generation_config.json``, if there is one."""
    if not (directory / "generation_config.json").is_file():
        return None
    return GenerationConfig.from_pretrained(directory)


def stored_dtype(checkpoint: Checkpoint, config: PretrainedConfig) -> torch.dtype:
    """The number format a checkpoint is used in: the config's, else its first float tensor's."""
    named = getattr(config, "dtype", None)
    if isinstance(named, torch.dtype):
        return named
    for name in body_tensors(checkpoint, checkpoint.anatomy()):
        if checkpoint.dtype(name).is_floating_point:
            return checkpoint.dtype(name)
    raise ArtifactError(f"{checkpoint.directory} holds no float tensor; expected a body")


def load_body(
    directory: Path,
    *,
    dtype: torch.dtype | None = None,
    attn_implementation: str | None = None,
) -> PreTrainedModel:
    """Load a body with a vocabulary of one zero row, to be replaced by ``put_table``.

    Stored tables are neither read nor allocated. Buffers, number formats and renamed tensors are
    treated as by ``from_pretrained``; every other tensor must be there, and none left over. The
    configs keep the ids of the original vocabulary. Draws no random numbers.

    Args:
        directory: a checkpoint, with or without table tensors.
        dtype: number format; default: as stored.
        attn_implementation: default: eager where attention logits are soft-capped, else the
            transformers default for the family.

    Raises:
        ArtifactError: where tensors are missing or unknown.
    """
    checkpoint = Checkpoint(directory)
    original = checkpoint.config()
    anatomy = checkpoint.anatomy()
    dtype = dtype or stored_dtype(checkpoint, original)
    small = checkpoint.config()
    text_config(small).vocab_size = 1
    text_config(small).pad_token_id = None  # as padding index it would lie outside the one row
    generation = stored_generation_config(Path(directory))
    with quiet_transformers(), contextlib.ExitStack() as files:
        tensors = _placeholder_rows(checkpoint, anatomy, original, dtype)
        for path, names in checkpoint.shards().items():
            handle = files.enter_context(safe_open(path, framework="pt"))
            tensors |= {
                name: handle.get_slice(name)
                for name in names
                if not anatomy.is_table_tensor(name) and not anatomy.is_other_head(name)
            }
        with torch.random.fork_rng(devices=[]):
            loaded: tuple[PreTrainedModel, dict[str, Any]] = model_class(small).from_pretrained(
                None,
                config=small,
                state_dict=tensors,
                dtype=dtype,
                attn_implementation=attn_implementation or attention_implementation(original),
                generation_config=generation or GenerationConfig.from_model_config(original),
                ignore_mismatched_sizes=True,  # refused below, together with other faults
                output_loading_info=True,
            )
    model, report = loaded
    _refuse_partial_load(checkpoint, report)
    text_config(model.config).pad_token_id = text_config(original).pad_token_id
    model.config.name_or_path = ""
    return model


def _placeholder_rows(
    checkpoint: Checkpoint, anatomy: Anatomy, config: PretrainedConfig, dtype: torch.dtype
) -> dict[str, Any]:
    """One zero row for each table tensor that the model expects."""
    width = anatomy.width
    rows: dict[str, Tensor] = {anatomy.input_embedding: torch.zeros(1, width, dtype=dtype)}
    if not is_tied(config):
        rows[anatomy.output_head] = torch.zeros(1, width, dtype=dtype)
    if anatomy.head_bias:
        rows[anatomy.head_bias] = torch.zeros(1, dtype=dtype)
    return {checkpoint.stored_name(name) or name: row for name, row in rows.items()}


def _refuse_partial_load(checkpoint: Checkpoint, report: dict[str, Any]) -> None:
    for fault, consequence in (
        ("missing_keys", "lacks tensors that the model needs"),
        ("unexpected_keys", "holds tensors that the model does not know"),
        ("mismatched_keys", "holds tensors whose shape is not the config's"),
        ("error_msgs", "cannot be loaded"),
    ):
        found = sorted(map(str, report.get(fault) or ()))
        if found:
            raise ArtifactError(
                f"{checkpoint.directory} {consequence}: {', '.join(found[:3])} ({len(found)} in "
                "all); does its config.json belong to it?"
            )


def _anatomy_without_adapters(model: PreTrainedModel) -> Anatomy:
    adapted = next((name for name in model.state_dict() if ".lora_" in name), None)
    if adapted is not None:
        raise CompatibilityError(
            f"the model still holds an adapter ({adapted}); save it with save_lora, or merge it "
            "with merge_lora before saving the body"
        )
    return anatomy_of(model.config)


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the loading and saving bars of transformers for a moment."""
    enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            transformers_logging.enable_progress_bar()
