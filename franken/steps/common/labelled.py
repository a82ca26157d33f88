"""Labelled texts of a task, as a head's training wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel

from franken.config.training import TrainingConfig
from franken.data.labelled import label_set, read_labelled, unit_of
from franken.data.labelled_batches import LabelledDataModule
from franken.data.source import VALID, DataSource
from franken.errors import DataError
from franken.eval_suite.readout import text_positions
from franken.parts.label_set import LabelSet


def labelled_batches(
    source: DataSource, task: str, languages: Sequence[str], model: PreTrainedModel,
    tokenizer: Any, training: TrainingConfig, seed: int, *, limit: int | None = None,
    labels: LabelSet | None = None,
) -> tuple[LabelledDataModule, LabelSet]:  # fmt: skip
    """Batches of a task's part ``train``, and what is told apart.

    ``limit``: the first so many texts of each language. Few may lack a label that is asked for, so
    labels are those of all, where none are given.
    """
    if labels is None:
        labels = label_set(read_labelled(source, task, languages), unit_of(source, task))
    texts = read_labelled(source, task, languages, limit=limit)
    held_out = []
    if VALID in source.task_parts(task):
        held_out = read_labelled(source, task, languages, VALID)
    longest = text_positions(model)
    batches = LabelledDataModule(texts, held_out, labels, tokenizer, training, seed, longest)
    return batches, labels


def check_labelled(data: DataSource, task: str, languages: Sequence[str]) -> None:
    """The set is one of labels, in the languages that are learnt.

    Raises:
        ConfigError: where it is none, or not there.
        DataError: where a language is missing.
    """
    unit_of(data, task)
    known = data.task_languages(task)
    if missing := [lang for lang in languages if lang not in known]:
        raise DataError(
            f"evaluation set {task!r} has no {', '.join(missing)}; it has {', '.join(known)}. Name "
            "others in the step's languages"
        )
