"""The sentence pairs that a training step reads beside its text."""

from __future__ import annotations

from typing import Protocol

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from franken.config.data import DataConfig
from franken.config.training import TrainingConfig
from franken.data import DataSource
from franken.data.sentence_pairs import PairRows, alone, romanised, translations
from franken.errors import DataError
from franken.eval_suite.readout import text_positions
from franken.pair_loss.base import PairLoss, Sides
from franken.parts.model import assemble
from franken.steps.common.context import StepContext
from franken.steps.common.key_parts import pair_languages
from franken.steps.common.models import open_model
from franken.training.pair_training import PairTraining

_READERS = {
    Sides.translations: translations, Sides.romanised: romanised, Sides.alone: alone,
}  # fmt: skip


class WithPairs(Protocol):
    """A step that may read pairs."""

    pair_loss: PairLoss | None
    data: DataConfig
    training: TrainingConfig


def check_pairs(loss: PairLoss | None, data: DataSource) -> None:
    """Raise where the data have no such pairs.

    Raises:
        DataError: with the languages that lack them.
    """
    if loss is None:
        return
    languages = pair_languages(loss, data.config)
    role = "parallel" if loss.sides is Sides.translations else "monolingual"
    if missing := [lang for lang in languages if not data.has(role, lang)]:
        raise DataError(
            f"pair_loss={loss.name} reads {role} text in {', '.join(missing)}, and data="
            f"{data.config.name} has none; name other pair_loss.languages"
        )
    if not languages:
        where = "data.romanise.languages" if loss.sides is Sides.romanised else "data.languages"
        raise DataError(
            f"pair_loss={loss.name} reads pairs in no language; name some in pair_loss.languages "
            f"or {where}"
        )


def pairs_of(
    step: WithPairs, context: StepContext, model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
) -> PairTraining | None:  # fmt: skip
    """The step's loss with its pairs; ``None`` where it has none."""
    loss = step.pair_loss
    if loss is None:
        return None
    sentences = _READERS[loss.sides](step.data, pair_languages(loss, step.data), loss.most)

    def rows(reader: PreTrainedModel, own: PreTrainedTokenizerBase) -> PairRows:
        length = step.training.sequence_length
        length = min(length, text_positions(reader) or length)
        single = loss.sides is Sides.alone
        return PairRows(sentences, own, length, loss.batch_size, context.seed, single)

    if "reference" not in context.inputs:
        return PairTraining(loss, rows(model, tokenizer))
    other, own = assemble(open_model(context.inputs["reference"], context.store))
    return PairTraining(loss, rows(model, tokenizer), (other, rows(other, own)))
