"""Tune part of a model on one split of the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

from franken.config.data import DataConfig, FileData, MicroworldData
from franken.config.training import (
    ADDS_LORA,
    FROZEN_BODY,
    Trainable,
    TrainingConfig,
)
from franken.data import open_data
from franken.distillation.base import Distillation
from franken.files import write_json
from franken.lazy import later
from franken.pair_loss.base import PairLoss
from franken.preference.base import Preference
from franken.steps.base import Part, Step, step
from franken.steps.common.key_parts import (
    frozen_weights,
    options,
    pair_faults,
    pair_key,
    precision_of,
    split_of,
    training_options,
)

with later():
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from franken.config.root import Config
    from franken.data.datamodule import TextDataModule
    from franken.data.source import DataSource
    from franken.parts.label_head import LabelHead
    from franken.parts.model import assemble
    from franken.steps.common.best_answers import instructing, pair_module
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model, read_places
    from franken.steps.common.pair_data import check_pairs, pairs_of
    from franken.steps.common.tuned_parts import refuse_deltas, save_tuned
    from franken.training import make_loggers, train_model
    from franken.training.distillation import Teaching
    from franken.training.lightning_options import own_datamodule
    from franken.training.pair_training import PairTraining

_NEEDS = {
    **dict.fromkeys(ADDS_LORA, "lora"), Trainable.embeddings_and_edge_layers: "edge_layers",
}  # fmt: skip


@step
class TrainStep(Step):
    """Tune part of a model on one split of the data."""

    version: ClassVar[int] = 2
    inputs: ClassVar[dict[str, Part]] = {
        "model": Part.model, "ranked": Part.preferences, "teacher": Part.model,
        "reference": Part.model,
    }  # fmt: skip
    model: str = ""
    trainable: Trainable = Trainable.embeddings
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "adaptation"
    training: TrainingConfig = field(default_factory=TrainingConfig)
    earlier: list[str] = field(default_factory=list)
    """Splits learnt before, on which ``training.anchor_examples`` and ``training.shield`` measure
    what must not move."""
    preference: Preference | None = None
    """Tune on pairs of answers (DPO) instead of next tokens: those of ``ranked``, else of the role
    ``preferences``, of which ``split`` chooses by ``tasks``. The reference is ``model`` itself."""
    ranked: str | None = None
    """A ``rank_answers`` step; without ``preference`` its best answers stand for the role
    ``instructions``."""

    distillation: Distillation | None = None
    """Learn what ``teacher`` makes of the same text, beside the next tokens."""
    teacher: str | None = None
    """A model of any tokenizer, such as the one that ``model`` was made from."""
    pair_loss: PairLoss | None = None
    """Also learn from the hidden states of sentence pairs, every so many steps."""
    reference: str | None = None
    """The model whose states ``pair_loss`` compares with, if it does; ``null``: ``model``."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.training.anchor_examples and not self.earlier:
            yield "earlier", "names no split, but training.anchor_examples measures on some"
        if self.training.anchor_examples and not self.training.anchor:
            yield "training.anchor", "is 0, so anchor_examples weighs a pull that is not there"
        if self.distillation is not None and self.preference is not None:
            yield "distillation", "learns from text, preference from pairs; leave one of them out"
        if (self.distillation is None) != (self.teacher is None):
            lacking = "teacher" if self.teacher is None else "distillation"
            yield lacking, "is missing: distillation and teacher are given together"
        yield from pair_faults(self.pair_loss, self.training)
        if self.pair_loss is not None and (self.preference or self.distillation):
            yield "pair_loss", "is there for text: not with preference or distillation"
        if self.reference is not None and not (self.pair_loss and self.pair_loss.asks_reference):
            yield "reference", "is given, but no pair_loss compares with it; leave it out"
        if self.training.shield.reads_text() and not self.earlier:
            yield "earlier", "names no split, but training.shield measures on some"
        if self.training.shield.share and (self.preference or self.trainable in FROZEN_BODY):
            yield (
                "training.shield.share",
                "keeps columns of the body while text is learnt: set it to 0 for preference "
                f"tuning and for trainable={', '.join(FROZEN_BODY)}",
            )
        for split in self.earlier:
            if split not in self.data.mixtures:
                known = ", ".join(self.data.mixtures)
                yield "earlier", f"{split!r} is no split of the data; known: {known}"
        if self.preference is not None and self.training.budget is not None:
            yield (
                "training.budget",
                "counts bytes of text, preference tuning pairs; set it to null",
            )
        if self.training.ahead and (self.preference or self.distillation):
            yield "training.ahead", "is there for next tokens alone; set it to 0 for this step"
        if self.preference is not None and self.training.anchor_examples:
            yield "training.anchor_examples", "is not there for preference tuning; set it to 0"
        if self.preference is not None and self.training.pack_across_documents:
            yield (
                "training.pack_across_documents",
                "would let a rejected answer read the chosen one",
            )
        offered = (isinstance(self.data, FileData) and self.data.preferences) or (
            isinstance(self.data, MicroworldData) and self.data.preference_languages
        )
        if self.preference is not None and self.ranked is None and not offered:
            yield (
                "ranked",
                f"is missing: preference={self.preference.name} needs pairs, and data="
                f"{self.data.name} has none under data.preferences; name a rank_answers step",
            )

    def capabilities(self) -> tuple[str, ...]:
        """Some parts can be tuned where they were found."""
        return capabilities_to_train(self.trainable)

    def key(self, config: Config) -> dict[str, Any]:
        """What is tuned, how, and on what."""
        content: dict[str, Any] = {
            "trainable": str(self.trainable), "training": training_options(self.training),
            "precision": precision_of(config),
            **frozen_weights(self.training, self.trainable, config),
        }  # fmt: skip
        if self.preference is None:
            content["data"] = split_of(self.data, self.split)
        else:
            content["preference"] = {**options(self.preference), "version": self.preference.version}
            if self.ranked is None:
                pairs = open_data(self.data).fingerprint({"preferences"})
                content["pairs"] = [pairs, self.data.mixtures[self.split].tasks]
        if self.distillation is not None:
            version = self.distillation.version
            content["distillation"] = {**self.distillation.content(), "version": version}
        content |= pair_key(self.pair_loss, self.data)
        if self.training.anchor_examples or self.training.shield.reads_text():
            content["earlier"] = [split_of(self.data, split) for split in self.earlier]
        return content

    def check(self, data: DataSource) -> None:
        """Pairs are there, where they are read.

        Raises:
            DataError: where a language has none.
        """
        check_pairs(self.pair_loss, data)

    def run(self, context: StepContext) -> dict[str, Any]:
        """Saves what changed (table, body or delta) and refers to the rest.

        Raises:
            CompatibilityError: LoRA on a model that already carries a delta.
        """
        places = read_places(context.inputs["model"])
        refuse_deltas(context, places, self.trainable)
        ref = open_model(context.inputs["model"], context.store)
        model, tokenizer = assemble(ref)
        shape: dict[str, Any] = {"training": self.training, "trainable": self.trainable}
        if self.preference is not None:
            pairs = pair_module(self, context, tokenizer)
            report = train(model, tokenizer, context, pairs, preference=self.preference, **shape)
        else:
            report = fit(
                model, tokenizer, context, data=self.data, split=self.split, earlier=self.earlier,
                source=instructing(self, context), teaching=teaching_of(self, context),
                pairs=pairs_of(self, context, model, tokenizer), **shape,
            )  # fmt: skip
        save_tuned(context, places, ref, model, tokenizer, **shape)
        return {"trainable": str(self.trainable), "training": report}


def fit(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, context: StepContext, *,
    data: DataConfig, split: str, training: TrainingConfig, trainable: Trainable,
    earlier: Sequence[str] = (), source: DataSource | None = None,
    masks: Mapping[str, Tensor] | None = None,
    teaching: Teaching | None = None, pairs: PairTraining | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train on a split in place, resumably; write ``training.json`` and return its summary.

    ``source``: what the split is drawn from; ``None``: the data as they are. ``masks``: see
    ``train_model``.
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
            workers=context.trainer.workers,
        )

    plain = open_data(data)
    datamodule = own_datamodule(
        training, f"step {context.name!r}: training", tokenizer=tokenizer, training=training,
        seed=context.seed, work_dir=context.scratch,
    ) or module_of(split, "corpus", plain if source is None else source)  # fmt: skip
    if training.budget is not None:
        training = datamodule.fix_steps()
    before = [
        module_of(name, f"earlier_{name}", plain) for name in earlier
        if training.anchor_examples or training.shield.reads_text()
    ]  # fmt: skip
    return train(
        model, tokenizer, context, datamodule, training=training, trainable=trainable,
        earlier=before, masks=masks, teaching=teaching, pairs=pairs,
    )  # fmt: skip


def teaching_of(step: TrainStep, context: StepContext) -> Teaching | None:
    """The step's teacher and loss; ``None`` where it has none."""
    if step.distillation is None:
        return None
    teacher, tokenizer = assemble(open_model(context.inputs["teacher"], context.store))
    return Teaching(step.distillation, teacher, tokenizer)


def train(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, context: StepContext,
    datamodule: Any, *, training: TrainingConfig, trainable: Trainable, earlier: Sequence[Any] = (),
    preference: Preference | None = None, masks: Mapping[str, Tensor] | None = None,
    teaching: Teaching | None = None, head: LabelHead | None = None,
    pairs: PairTraining | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train on a data module in place; write ``training.json`` and return its summary."""
    loggers = make_loggers(
        context.logger, context.run_dir / "curves" / context.name, group=context.experiment,
        job_type=context.name, run_id=context.key, config=context.log_config,
    )  # fmt: skip
    report = train_model(
        model, tokenizer, datamodule, training, trainable, context.trainer,
        work_dir=context.scratch, seed=context.seed, loggers=loggers, earlier=earlier,
        preference=preference, masks=masks, teaching=teaching, head=head, pairs=pairs,
    )  # fmt: skip
    content = report.to_json()
    if hasattr(datamodule, "mixture_report"):  # a user's own has none
        content["mixture"] = datamodule.mixture_report()
    write_json(context.directory / "training.json", content)
    return {k: v for k, v in content.items() if isinstance(v, int | float | str)}


def capabilities_to_train(trainable: Trainable) -> tuple[str, ...]:
    """What a family must allow for this part to be tuned."""
    return (_NEEDS[trainable],) if trainable in _NEEDS else ()
