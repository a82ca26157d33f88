"""Train a head on labelled texts in one language, with as much of its model as is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, replace
from typing import Any, ClassVar

from franken.config.checks import at_least
from franken.config.data import DataConfig
from franken.config.training import Trainable, TrainingConfig
from franken.data import open_data
from franken.errors import CompatibilityError
from franken.lazy import later
from franken.pair_loss.base import PairLoss
from franken.steps.base import HERE, Part, Step, step
from franken.steps.common.key_parts import (
    pair_faults,
    pair_key,
    precision_of,
    training_options,
)

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.config.root import Config
    from franken.data.source import DataSource
    from franken.parts.label_head import LabelHead, load_head, put_head, save_head
    from franken.parts.label_set import LabelSet
    from franken.parts.model import assemble
    from franken.seeds import derive_seed
    from franken.steps.common.context import StepContext
    from franken.steps.common.labelled import check_labelled, labelled_batches
    from franken.steps.common.models import open_model, read_places
    from franken.steps.common.pair_data import check_pairs, pairs_of
    from franken.steps.common.tuned_parts import refuse_deltas, save_tuned
    from franken.steps.train import capabilities_to_train, train


@step
class TrainLabelsStep(Step):
    """Train a head on labelled texts in one language, with as much of its model as is wanted.

    The head is fresh, whatever the model had: of texts (topics) or of words (names, parts of
    speech), as the evaluation set says. Result: the tuned model with the head on it.
    """

    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "teacher": Part.model}
    model: str = ""
    """A masked language model."""
    task: str = "topic_classification"
    """The evaluation set whose part ``train`` is learnt."""
    languages: list[str] | None = None
    """Of the texts; ``null``: the source language."""
    texts: int | None = None
    """The first so many of each language, told by the labels of all; ``null``: all."""
    trainable: Trainable = Trainable.full
    """What changes beside the head."""
    teacher: str | None = None
    """A model with a head for this task, of the same vocabulary: its probabilities are learnt in
    the place of the labels (BiStil's second phase)."""
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    pair_loss: PairLoss | None = None
    """Also learn from the hidden states of sentence pairs, every so many steps."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("texts", self.texts, 1)
        yield from pair_faults(self.pair_loss, self.training)
        if self.training.budget is not None:
            yield "training.budget", "counts bytes of text, a head learns labels; set it to null"
        for name in ("ahead", "anchor_examples", "datamodule"):
            if getattr(self.training, name):
                yield f"training.{name}", "is not there for heads; leave it at its default"
        if self.training.shield.share:
            yield "training.shield.share", "is not there for heads; set it to 0"

    def capabilities(self) -> tuple[str, ...]:
        """Some parts can be tuned where they were found."""
        return capabilities_to_train(self.trainable)

    def key(self, config: Config) -> dict[str, Any]:
        """What is tuned, how, and on which labelled texts."""
        return {
            "task": self.task, "languages": self._languages(), "trainable": str(self.trainable),
            "training": training_options(self.training), "precision": precision_of(config),
            "data": open_data(self.data).fingerprint(),
            **({} if self.texts is None else {"texts": self.texts}),
            **pair_key(self.pair_loss, self.data),
        }  # fmt: skip

    def check(self, data: DataSource) -> None:
        """The set is one of labels, in the languages that are learnt.

        Raises:
            ConfigError: where it is none, or not there.
            DataError: where a language is missing.
        """
        check_labelled(data, self.task, self._languages())
        check_pairs(self.pair_loss, data)

    def run(self, context: StepContext) -> dict[str, Any]:
        """Saves the head, and what else changed."""
        places = read_places(context.inputs["model"])
        refuse_deltas(context, places, self.trainable)
        ref = open_model(context.inputs["model"], context.store)
        model, tokenizer = assemble(ref)
        batches, labels = labelled_batches(
            open_data(self.data), self.task, self._languages(), model, tokenizer, self.training,
            context.seed, limit=self.texts,
        )  # fmt: skip
        head = put_head(model, labels, seed=derive_seed(context.seed, "head"))
        report = train(
            model, tokenizer, context, batches, training=self.training, trainable=self.trainable,
            head=replace(head, teacher=self._teacher(context, tokenizer, labels)),
            pairs=pairs_of(self, context, model, tokenizer),
        )  # fmt: skip
        save_head(head, context.directory / "head")
        head.release()
        save_tuned(
            context, places, ref, model, tokenizer, trainable=self.trainable,
            training=self.training, head=[HERE, "", "head"],
        )  # fmt: skip
        return {"trainable": str(self.trainable), "labels": list(labels.names), "training": report}

    def _teacher(
        self, context: StepContext, tokenizer: PreTrainedTokenizerBase, labels: LabelSet
    ) -> LabelHead | None:
        """The head that teaches, on its model.

        Raises:
            CompatibilityError: where it has none, or another vocabulary or other labels.
        """
        if self.teacher is None:
            return None
        ref = open_model(context.inputs["teacher"], context.store)
        model, own = assemble(ref)
        head = None if ref.head is None else load_head(model, ref.head)
        if head is None or head.labels != labels or own.get_vocab() != tokenizer.get_vocab():
            raise CompatibilityError(
                f"step {context.name!r}: the teacher {self.teacher!r} has no head, or one with "
                f"other labels than {', '.join(labels.names)}, or another vocabulary; name a "
                "train_labels step for the same task on a model of the same table"
            )
        return head

    def _languages(self) -> list[str]:
        return self.languages or [self.data.source_language]
