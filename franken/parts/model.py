"""A model is one body, one table and deltas: references that ``assemble`` turns into weights."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from franken.errors import ArtifactError, CompatibilityError
from franken.parts.body import control_tokens_of_body, load_body, quiet_transformers
from franken.parts.bottleneck import adapter_names
from franken.parts.checkpoint import Checkpoint
from franken.parts.fingerprint import body_fingerprint
from franken.parts.surgery import put_table
from franken.parts.table import Table, load_table
from franken.parts.table_rows import rows_of_checkpoint

FILE = "model.json"
SCHEMA = 1


@dataclass(frozen=True)
class ModelRef:
    """Where the parts of a model lie."""

    body: Path
    """Checkpoint directory; table tensors found in it are ignored."""
    table: Path
    """Table directory."""
    deltas: tuple[Path, ...] = ()
    """Delta directories; their changes add up."""
    lineage: str = ""
    """Fingerprint of the base body that body and table descend from."""
    fingerprint: str = ""
    """Fingerprint of this body."""
    head: Path | None = None
    """Directory of a head that labels texts or words; ``assemble`` leaves it out."""

    def to_json(self, relative_to: Path | None = None) -> dict[str, Any]:
        """Plain data; paths relative to a directory if one is given, so that both can move."""

        def spelled(path: Path) -> str:
            if relative_to is None:
                return str(path)
            return Path(os.path.relpath(path.resolve(), relative_to.resolve())).as_posix()

        return {
            "kind": "model",
            "schema": SCHEMA,
            "body": spelled(self.body),
            "table": spelled(self.table),
            "deltas": [spelled(path) for path in self.deltas],
            "lineage": self.lineage,
            "fingerprint": self.fingerprint,
            **({} if self.head is None else {"head": spelled(self.head)}),
        }

    @classmethod
    def from_json(cls, value: Any, relative_to: Path | None = None) -> "ModelRef":
        """The inverse of ``to_json``."""
        if not isinstance(value, dict) or value.get("kind") != "model":
            raise ArtifactError(f"expected the description of a model, found {str(value)[:80]}")
        base = Path() if relative_to is None else relative_to
        return cls(
            base / value["body"],
            base / value["table"],
            tuple(base / path for path in value["deltas"]),
            value["lineage"],
            value["fingerprint"],
            base / value["head"] if "head" in value else None,
        )


def ref_of(
    body: Path, table: Path, *, deltas: tuple[Path, ...] = (), lineage: str | None = None
) -> ModelRef:
    """A reference with fingerprints filled in from the body; its own lineage by default."""
    fingerprint = body_fingerprint(body, Checkpoint(body).anatomy())
    return ModelRef(Path(body), Path(table), tuple(deltas), lineage or fingerprint, fingerprint)


def check_lineage(ref: ModelRef, table: Table) -> None:
    """Refuse a table that was made for a foreign body."""
    if table.lineage != ref.lineage:
        raise CompatibilityError(
            f"the table in {ref.table} was made for base body {table.lineage[:12]}, but the body "
            f"in {ref.body} descends from {ref.lineage[:12]}; a table only fits bodies of its own "
            "base model"
        )


def check_body(ref: ModelRef) -> None:
    """Refuse a body that is not the one the reference was made for."""
    found = body_fingerprint(ref.body, Checkpoint(ref.body).anatomy())
    if found != ref.fingerprint:
        raise ArtifactError(
            f"the body in {ref.body} has fingerprint {found[:12]}, the reference says "
            f"{ref.fingerprint[:12]}; it was changed or replaced, make it again"
        )


def assemble(
    ref: ModelRef,
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    merge: bool = False,
    keep_table_dtype: bool = False,
    attn_implementation: str | None = None,
    pad_to_multiple: int | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the body, put the table on it, apply the deltas.

    Logits equal those of ``from_pretrained`` bit for bit where body and table come from one
    checkpoint. The body's own table is never read.

    Args:
        ref: the parts.
        dtype: number format; default: as the body is stored.
        device: where the model goes.
        merge: add LoRA deltas to the weights (in float32) instead of keeping them beside.
        keep_table_dtype: keep the table in its own number format, e.g. float32 over bfloat16.
        attn_implementation: see ``load_body``.
        pad_to_multiple: see ``put_table``.

    Returns:
        The model in evaluation mode, and its tokenizer.

    Raises:
        CompatibilityError: where the table or a delta belongs to another body.
        ArtifactError: where a part is damaged, or no longer the one that was referred to.
    """
    check_body(ref)
    table = load_table(ref.table)
    check_lineage(ref, table)
    model = load_body(ref.body, dtype=dtype, attn_implementation=attn_implementation)
    put_table(
        model,
        table,
        previous=control_tokens_of_body(ref.body),
        keep_dtype=keep_table_dtype,
        copy=False,
        pad_to_multiple=pad_to_multiple,
    )
    if ref.deltas:
        apply_deltas(model, ref, merge=merge)
    return model.eval().to(device), table.tokenizer


def delta_name(index: int) -> str:
    """What a reference's delta is called inside an assembled model."""
    return f"delta_{index}"


def apply_deltas(model: PreTrainedModel, ref: ModelRef, *, merge: bool) -> None:
    """Put a reference's deltas into the model of its body."""
    from franken.parts import delta  # peft is slow to import and rarely needed

    names = [delta_name(index) for index in range(len(ref.deltas))]
    for name, directory in zip(names, ref.deltas, strict=True):
        delta.apply_delta(model, directory, name=name, body=ref.fingerprint)
    delta.activate_adapters(model, names)
    if merge and adapter_names(model):
        raise CompatibilityError(
            f"{len(adapter_names(model))} deltas are bottleneck adapters, which no weights can "
            "take up; use the model as it is, or adapt with LoRA"
        )
    if merge:
        delta.merge_lora(model)


def whole_model(directory: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A plain causal checkpoint in float32, to be run, with its tokenizer as the file says."""
    with quiet_transformers():
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, trust_remote_code=False
        )
    return model.eval(), rows_of_checkpoint(directory).tokenizer
