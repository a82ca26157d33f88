"""Tune part of a model on one split of the data."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from franken.config.data import DataConfig
from franken.config.preference import PreferenceConfig
from franken.config.steps import TrainStep
from franken.config.training import Trainable, TrainingConfig
from franken.data import open_data
from franken.data.datamodule import TextDataModule
from franken.data.source import DataSource
from franken.errors import CompatibilityError
from franken.files import write_json
from franken.parts.body import save_body
from franken.parts.delta import save_lora
from franken.parts.model import assemble
from franken.parts.restore import restore_body, restore_table
from franken.parts.surgery import take_table
from franken.parts.table import save_table
from franken.steps.context import StepContext
from franken.steps.models import HERE, open_model, read_places, write_model
from franken.steps.preferences import instructing, pair_module
from franken.training import make_loggers, train_model
from franken.training.lightning_options import own_datamodule

_CHANGES_BODY = (Trainable.body, Trainable.full, Trainable.embeddings_and_edge_layers)
_CHANGES_TABLE = (Trainable.embeddings, Trainable.full, Trainable.embeddings_and_edge_layers)


def run(step: TrainStep, context: StepContext) -> dict[str, Any]:
    """Saves what changed (table, body or delta) and refers to the rest.

    What did not train is saved as it was read, whatever its format while the rest trained.

    Raises:
        CompatibilityError: LoRA on a model that already carries a delta.
    """
    places = read_places(context.inputs["model"])
    if places["deltas"] and step.trainable is not Trainable.embeddings:
        raise CompatibilityError(
            f"step {context.name!r} would train the {step.trainable} of a model that carries a "
            "delta; train before the delta is made, or only the embeddings after it"
        )
    ref = open_model(context.inputs["model"], context.store)
    model, tokenizer = assemble(ref)
    shape: dict[str, Any] = {"training": step.training, "trainable": step.trainable}
    if step.preference is not None:
        pairs = pair_module(step, context, tokenizer)
        report = train(model, tokenizer, context, pairs, preference=step.preference, **shape)
    else:
        report = fit(
            model, tokenizer, context, data=step.data, split=step.split, earlier=step.earlier,
            source=instructing(step, context), **shape,
        )  # fmt: skip
    body, table, deltas = places["body"], places["table"], list(places["deltas"])
    fingerprint = places["fingerprint"]
    if step.trainable is Trainable.lora:
        save_lora(model, context.directory / "delta", body=fingerprint)
        deltas.append([HERE, "", "delta"])
    if step.trainable in _CHANGES_BODY:
        folder = context.directory / "body"
        restore_body(model, ref.body)
        fingerprint = save_body(model, folder, tokenizer=tokenizer, lineage=places["lineage"])
        body = [HERE, "", "body"]
    if step.trainable in _CHANGES_TABLE:
        restore_table(model.get_input_embeddings(), model.get_output_embeddings(), ref.table)
        tuned = take_table(model, tokenizer, lineage=places["lineage"])
        save_table(tuned, context.directory / "table")
        table = [HERE, "", "table"]
    write_model(
        context, body=body, table=table, deltas=deltas, lineage=places["lineage"],
        fingerprint=fingerprint,
    )  # fmt: skip
    return {"trainable": str(step.trainable), "training": report}


def fit(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, context: StepContext, *,
    data: DataConfig, split: str, training: TrainingConfig, trainable: Trainable,
    earlier: Sequence[str] = (), source: DataSource | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train on a split in place, resumably; write ``training.json`` and return its summary.

    ``source``: what the split is drawn from; ``None``: the data as they are.
    """

    def module_of(name: str, folder: str, source: DataSource) -> TextDataModule:
        mixture = data.mixtures[name]
        return TextDataModule(
            source=source,
            mixture=mixture,
            tokenizer=tokenizer,
            training=training,
            seed=context.seed,
            work_dir=context.scratch / folder,
            source_language=data.source_language,
            languages=mixture.languages or [data.source_language, *data.languages],
        )

    plain = open_data(data)
    datamodule = own_datamodule(
        training, f"step {context.name!r}: training", tokenizer=tokenizer, training=training,
        seed=context.seed, work_dir=context.scratch,
    ) or module_of(split, "corpus", plain if source is None else source)  # fmt: skip
    if training.budget is not None:
        training = datamodule.fix_steps()
    before = [
        module_of(name, f"earlier_{name}", plain) for name in earlier if training.anchor_examples
    ]
    return train(
        model, tokenizer, context, datamodule, training=training, trainable=trainable,
        earlier=before,
    )  # fmt: skip


def train(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, context: StepContext,
    datamodule: Any, *, training: TrainingConfig, trainable: Trainable, earlier: Sequence[Any] = (),
    preference: PreferenceConfig | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train on a data module in place; write ``training.json`` and return its summary."""
    loggers = make_loggers(
        context.logger, context.run_dir / "curves" / context.name, group=context.experiment,
        job_type=context.name, run_id=context.key, config=context.log_config,
    )  # fmt: skip
    report = train_model(
        model, tokenizer, datamodule, training, trainable, context.trainer,
        work_dir=context.scratch, seed=context.seed, loggers=loggers, earlier=earlier,
        preference=preference,
    )  # fmt: skip
    content = report.to_json()
    if hasattr(datamodule, "mixture_report"):  # a user's own has none
        content["mixture"] = datamodule.mixture_report()
    write_json(context.directory / "training.json", content)
    return {k: v for k, v in content.items() if isinstance(v, int | float | str)}
