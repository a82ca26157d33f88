"""Read a checkpoint in transformers layout or a GGUF file: body and table become two parts."""

from __future__ import annotations

from dataclasses import field, replace
from pathlib import Path
from typing import Any, ClassVar

from franken.config.base_model import BaseModelConfig, LoadedModel, TensorType
from franken.config.data import DataConfig
from franken.config.training import TrainingConfig
from franken.errors import CompatibilityError
from franken.lazy import later
from franken.steps.base import HERE, Part, Step, step
from franken.steps.common.file_hashes import checkpoint_hash

with later():
    import torch
    from transformers import PreTrainedModel
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from franken.config.root import Config
    from franken.families.objective import auto_class
    from franken.parts.body import quiet_transformers, save_body
    from franken.parts.body_files import copy_body
    from franken.parts.checkpoint import Checkpoint, read_config
    from franken.parts.gguf import is_gguf, read_gguf
    from franken.parts.hub import resolve_checkpoint
    from franken.parts.row_report import warn_of_odd_rows
    from franken.parts.special_rows import check_tying
    from franken.parts.surgery import take_table
    from franken.parts.table import read_description, save_table
    from franken.parts.table_rows import open_rows, rows_of_checkpoint, save_rows
    from franken.parts.tokenizer_files import load_checkpoint_tokenizer
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import read_places, write_model


@step
class LoadStep(Step):
    """Read a checkpoint in transformers layout, or a GGUF file."""

    seeded: ClassVar[bool] = False
    version: ClassVar[int] = 2
    inputs: ClassVar[dict[str, Part]] = {"relative_of": Part.model}
    takes_hydra: ClassVar[tuple[str, ...]] = ("relative_of",)
    model: BaseModelConfig = field(default_factory=BaseModelConfig)
    relative_of: str | None = None
    """A step whose model this checkpoint was fine-tuned from: gives it that model's ancestry, so
    that tables of the one fit the other."""
    gives_control_rows: bool = False
    """Whether swaps will put its rows of control tokens into tables of ``relative_of``: one that
    cannot give them is refused at once."""
    data: DataConfig | None = None
    """Not read; here so that one recipe line serves ``load`` and ``pretrain``."""
    training: TrainingConfig | None = None
    """Not read, as ``data``."""

    def key(self, config: Config) -> dict[str, Any]:
        """The files count, not the place they lie in."""
        assert isinstance(self.model, LoadedModel)
        promised = {"gives_control_rows": True} if self.gives_control_rows else {}
        return {"files": checkpoint_hash(self.model), "dtype": str(self.model.dtype), **promised}

    def run(self, context: StepContext) -> dict[str, Any]:
        """The body is copied, not linked: editing the original later does not change the artefact.

        Weights are read whole only where they have to be unpacked (GGUF) or cast (``dtype``).

        Raises:
            DataError: when the checkpoint cannot be found.
            CompatibilityError: when ``relative_of`` names a model of another shape, or one whose
                tables cannot take this one's control rows (``gives_control_rows``).
        """
        assert isinstance(self.model, LoadedModel)
        source = resolve_checkpoint(self.model.path, self.model.revision)
        relative = None
        if "relative_of" in context.inputs:
            relative = read_places(context.inputs["relative_of"])
        lineage = None if relative is None else str(relative["lineage"])
        body = context.directory / "body"
        fingerprint, facts = _taken_apart(
            source, self.model, body, context.directory / "table", lineage
        )
        if relative is not None:
            base = Checkpoint(context.store.root.joinpath(*relative["body"])).config()
            check_relative(Checkpoint(body).config(), base)
            ours = read_description(context.directory / "table")
            theirs = read_description(context.store.root.joinpath(*relative["table"]))
            if self.gives_control_rows:
                check_tying(adapted_tied=bool(theirs["tied"]), giver_tied=bool(ours["tied"]))
        write_model(
            context, body=[HERE, "", "body"], table=[HERE, "", "table"], deltas=[],
            lineage=lineage or fingerprint, fingerprint=fingerprint,
        )  # fmt: skip
        return {"source": self.model.path, **facts}


def _taken_apart(
    source: Path, model: LoadedModel, body: Path, table: Path, lineage: str | None
) -> tuple[str, dict[str, int]]:
    """Write body and table; returns the body's fingerprint and the size of the table."""
    if is_gguf(source) or model.dtype is not TensorType.auto:
        whole, tokenizer = _in_memory(source, model)
        fingerprint = save_body(whole, body, tokenizer=tokenizer, lineage=lineage)
        taken = take_table(whole, tokenizer, lineage=lineage or fingerprint)
        save_table(taken, table)
        warn_of_odd_rows(open_rows(taken), model.path)
        return fingerprint, {"rows": taken.rows, "hidden_size": taken.hidden_size}
    rows = rows_of_checkpoint(source)
    warn_of_odd_rows(rows, model.path)
    checkpoint = Checkpoint(source)
    fingerprint = copy_body(checkpoint, body, tokenizer=rows.tokenizer, lineage=lineage)
    provenance = {"method": "checkpoint", "family": checkpoint.anatomy().family}
    save_rows(replace(rows, lineage=lineage or fingerprint), table, provenance)
    return fingerprint, {"rows": rows.count, "hidden_size": rows.hidden_size}


def _in_memory(source: Path, model: LoadedModel) -> tuple[PreTrainedModel, Tokenizer]:
    dtype = None if model.dtype is TensorType.auto else getattr(torch, model.dtype)
    if is_gguf(source):
        return read_gguf(source, dtype=dtype)
    with quiet_transformers():
        whole: PreTrainedModel = auto_class(read_config(source)).from_pretrained(
            source, dtype=dtype, trust_remote_code=model.trust_remote_code
        )
    return whole, load_checkpoint_tokenizer(source)


def check_relative(config: Any, base: Any) -> None:
    """Refuse a config that no fine-tuning of ``base`` can have.

    Raises:
        CompatibilityError: with the first setting that differs.
    """
    for name in ("model_type", "hidden_size", "num_hidden_layers", "intermediate_size"):
        ours, theirs = getattr(config, name, None), getattr(base, name, None)
        if ours != theirs:
            raise CompatibilityError(
                f"relative_of: the checkpoint has {name}={ours}, its relative {theirs}; a model "
                "that was fine-tuned from another has the same shape, so these are no relatives"
            )
