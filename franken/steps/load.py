"""Read a checkpoint in transformers layout: link its shards, take its table out."""

from pathlib import Path
from typing import Any

from franken.config.base_model import LoadedModel, TensorType
from franken.config.steps import LoadStep
from franken.errors import CompatibilityError
from franken.files import link_or_copy
from franken.parts.anatomy import anatomy_of
from franken.parts.body import save_body
from franken.parts.checkpoint import Checkpoint
from franken.parts.fingerprint import body_fingerprint
from franken.parts.table import save_table, table_of_checkpoint
from franken.steps.context import StepContext
from franken.steps.keys import resolve_checkpoint
from franken.steps.models import HERE, read_places, write_model


def run(step: LoadStep, context: StepContext) -> dict[str, Any]:
    """Shards are hard-linked where the file system allows it; only table tensors are read.

    Raises:
        DataError: when the checkpoint cannot be found.
        CompatibilityError: when ``relative_of`` names a model of another shape.
    """
    assert isinstance(step.model, LoadedModel)
    source = resolve_checkpoint(step.model)
    checkpoint = Checkpoint(source)
    config = checkpoint.config()
    fingerprint = body_fingerprint(source, anatomy_of(config))
    lineage = fingerprint
    if "relative_of" in context.inputs:
        relative = read_places(context.inputs["relative_of"])
        _check_relative(config, Checkpoint(context.store.root.joinpath(*relative["body"])).config())
        lineage = relative["lineage"]
    table = table_of_checkpoint(source)
    table.lineage = lineage
    save_table(table, context.directory / "table")
    body = context.directory / "body"
    if step.model.dtype is TensorType.auto:
        _link_checkpoint(checkpoint, body)
    else:
        save_body(_converted(source, step.model), body)
    write_model(
        context, body=[HERE, "", "body"], table=[HERE, "", "table"], deltas=[],
        lineage=lineage, fingerprint=fingerprint,
    )  # fmt: skip
    return {"source": step.model.path, "rows": table.rows, "hidden_size": table.hidden_size}


def _check_relative(config: Any, base: Any) -> None:
    for name in ("model_type", "hidden_size", "num_hidden_layers", "intermediate_size"):
        ours, theirs = getattr(config, name, None), getattr(base, name, None)
        if ours != theirs:
            raise CompatibilityError(
                f"relative_of: the checkpoint has {name}={ours}, its relative {theirs}; a model "
                "that was fine-tuned from another has the same shape, so these are no relatives"
            )


def _link_checkpoint(checkpoint: Checkpoint, body: Path) -> None:
    body.mkdir(parents=True)
    shards = {checkpoint.shard_of(name) for name in checkpoint.names()}
    extras = [
        checkpoint.directory / name
        for name in ("config.json", "generation_config.json", "model.safetensors.index.json")
    ]
    for file in [*sorted(shards), *extras]:
        if not file.exists():
            continue
        link_or_copy(file, body / file.name)


def _converted(source: Path, model: LoadedModel) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        source, dtype=getattr(torch, model.dtype), trust_remote_code=model.trust_remote_code
    )
