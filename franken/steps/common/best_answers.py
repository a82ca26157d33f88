"""What a ``train`` step trains on where answers were sampled and ranked, or given in pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import PreTrainedTokenizerBase

from franken.data import open_data
from franken.data.derived_source import DerivedSource
from franken.data.preference_batches import PreferenceDataModule
from franken.data.source import TRAIN, VALID, DataSource, Instruction, Preference
from franken.files import sha256_file
from franken.preference.common.answers import BEST_FILE, PAIRS_FILES, read_lines, read_pairs
from franken.steps.common.context import StepContext

if TYPE_CHECKING:
    from franken.steps.train import TrainStep


def pair_module(
    step: TrainStep, context: StepContext, tokenizer: PreTrainedTokenizerBase
) -> PreferenceDataModule:
    """The pairs of the step's ``ranked``, else of the data's role ``preferences``."""
    if step.ranked is not None:
        folder = context.inputs["ranked"].path
        own, held_out = (read_pairs(folder / PAIRS_FILES[split]) for split in (TRAIN, VALID))
    else:
        source, wanted = open_data(step.data), step.data.mixtures[step.split].tasks
        own, held_out = (_of_tasks(source, split, wanted) for split in (TRAIN, VALID))
    return PreferenceDataModule(
        own, held_out, tokenizer, step.training, context.seed, context.scratch / "pairs",
        chat=str(step.data.chat),
    )  # fmt: skip


def instructing(step: TrainStep, context: StepContext) -> DataSource | None:
    """The step's data with the best answers of ``ranked`` as instructions, if it names any."""
    if step.ranked is None:
        return None
    return WithBestAnswers(open_data(step.data), context.inputs["ranked"].path / BEST_FILE)


class WithBestAnswers(DerivedSource):
    """Another source in all but its instructions for training."""

    def __init__(self, source: DataSource, path: Path) -> None:
        """Args: the ``source`` behind, and the file with the best answers."""
        super().__init__(source)
        self._path = path

    def difference(self) -> str:
        """Hash of the answers."""
        return sha256_file(self._path)

    def has(self, role: str, lang: str | None = None) -> bool:
        """Instructions in the source language, and what the source behind has."""
        own = role == "instructions" and lang in (None, self.config.source_language)
        return own or self._source.has(role, lang)

    def instructions(self, split: str = TRAIN) -> Iterator[Instruction]:
        """The best answers; for validation what the source behind has."""
        if split != TRAIN:
            yield from self._source.instructions(split)
            return
        for line in read_lines(self._path):
            yield Instruction(line["prompt"], line["response"], line["task"])


def _of_tasks(source: DataSource, split: str, wanted: list[str] | None) -> Iterator[Preference]:
    return (p for p in source.preferences(split) if wanted is None or p.task in wanted)
