"""What a training changed, saved part by part; the rest of a model is referred to."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from franken.config.training import (
    ADDS_LORA,
    CHANGES_BODY,
    CHANGES_TABLE,
    TRAINED_ADAPTER,
    Trainable,
    TrainingConfig,
)
from franken.errors import CompatibilityError
from franken.parts import fusion
from franken.parts.adapter_files import save_adapter
from franken.parts.body import save_body
from franken.parts.delta import read_description, save_lora
from franken.parts.model import ModelRef, delta_name
from franken.parts.restore import restore_body, restore_table
from franken.parts.surgery import take_table
from franken.parts.table import save_table
from franken.steps.base import HERE
from franken.steps.common.context import StepContext
from franken.steps.common.models import Place, write_model
from franken.training.policy import adapter_shape

_BESIDE_DELTAS = (Trainable.embeddings, Trainable.adapter, Trainable.fusion)


def refuse_deltas(context: StepContext, places: dict[str, Any], trainable: Trainable) -> None:
    """Raise where a model carries a delta that training would run under."""
    if places["deltas"] and trainable not in _BESIDE_DELTAS:
        raise CompatibilityError(
            f"step {context.name!r} would train the {trainable} of a model that carries a "
            "delta; train before the delta is made, or only embeddings or an adapter after it"
        )


def save_tuned(
    context: StepContext, places: dict[str, Any], ref: ModelRef, model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase, *, trainable: Trainable, training: TrainingConfig,
    head: Place | None = None,
) -> None:  # fmt: skip
    """Write the table, body or delta that trained, and ``model.json``.

    What did not train is saved as it was read, whatever its format while the rest trained.
    """
    body, table, deltas = places["body"], places["table"], list(places["deltas"])
    fingerprint = places["fingerprint"]
    if trainable in ADDS_LORA:
        save_lora(model, context.directory / "delta", body=fingerprint)
        deltas.append([HERE, "", "delta"])
    if trainable is Trainable.adapter:
        save_adapter(
            model, context.directory / "delta", adapter_shape(training),
            name=TRAINED_ADAPTER, body=fingerprint,
        )  # fmt: skip
        deltas.append([HERE, "", "delta"])
    if trainable is Trainable.fusion:
        kinds = [read_description(directory)["kind"] for directory in ref.deltas]
        at = len(kinds) - 1 - kinds[::-1].index(fusion.KIND)
        fusion.save_fusion(
            model, context.directory / "delta", ref.deltas[at], name=delta_name(at)
        )  # fmt: skip
        deltas[at] = [HERE, "", "delta"]
    if trainable in CHANGES_BODY:
        folder = context.directory / "body"
        restore_body(model, ref.body)
        fingerprint = save_body(model, folder, tokenizer=tokenizer, lineage=places["lineage"])
        body = [HERE, "", "body"]
    if trainable in CHANGES_TABLE:
        restore_table(model.get_input_embeddings(), model.get_output_embeddings(), ref.table)
        tuned = take_table(model, tokenizer, lineage=places["lineage"])
        save_table(tuned, context.directory / "table")
        table = [HERE, "", "table"]
    write_model(
        context, body=body, table=table, deltas=deltas, lineage=places["lineage"],
        fingerprint=fingerprint, head=head,
    )  # fmt: skip
