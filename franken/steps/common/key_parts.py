"""Slices that several kinds of step share."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from franken.config.data import DataConfig, Directions
from franken.config.root import Config
from franken.config.trainer import Precision
from franken.config.training import (
    AdapterConfig,
    BodyType,
    EmbeddingSides,
    MaskingConfig,
    Schedule,
    Trainable,
    TrainingConfig,
)
from franken.data import open_data
from franken.data.named_entities import with_names
from franken.data.source import SOURCE_ROLES, TEXT_STREAMS
from franken.pair_loss.base import PairLoss, Sides

_NEUTRAL_TRAINING = ("checkpoint_every", "checkpoint_minutes", "activation_checkpointing")


def options(config: Any, *left_out: str) -> dict[str, Any]:
    """Fields of a dataclass, but for some."""
    return {key: value for key, value in asdict(config).items() if key not in left_out}


def precision_of(config: Config) -> str:
    """Numbers that training and scoring are done in."""
    return str(config.trainer.precision)


def prompt(template: str | None, data: DataConfig) -> list[Any]:
    """The template of sentence pairs and the names that it puts."""
    return [template or data.parallel_template, data.language_names]


def texts(data: DataConfig) -> dict[str, Any]:
    """The text of the data: every role counts."""
    return {"languages": data.languages, "text": open_data(data).fingerprint()}


def split_of(data: DataConfig, split: str) -> dict[str, Any]:
    """One mixture of the data and its text.

    Text of named languages and what is told in the source language alone stand by themselves: other
    languages' files and the evaluation sets do not count, so one base model, and one body tuned on
    instructions, serve every target language.
    """
    mixture = data.mixtures[split]
    roles = {role for role, share in mixture.shares.items() if share > 0}
    languages = mixture.languages
    if languages is None:
        others = [] if roles <= set(SOURCE_ROLES) else data.languages
        languages = [data.source_language, *others]
    source = with_names(open_data(data), mixture)
    # options that came later keep old keys
    unset = {"tasks": None, "names": None, "directions": Directions.both}
    alone = roles <= {*TEXT_STREAMS, *SOURCE_ROLES}
    return {
        "mixture": {k: v for k, v in asdict(mixture).items() if k not in unset or v != unset[k]},
        "languages": languages,
        "text": source.fingerprint(roles, languages) if alone else source.fingerprint(),
    }


def frozen_weights(
    training: TrainingConfig, trainable: Trainable, config: Config
) -> dict[str, Any]:
    """What changed where frozen weights are saved beside trained ones.

    They were once saved in ``training.body_dtype`` where that is, or may be, the narrower format.
    """
    bf16 = training.body_dtype is BodyType.auto and config.trainer.precision is Precision.bf16_mixed
    narrow = bf16 or training.body_dtype is BodyType.bfloat16
    tables = (Trainable.embeddings, Trainable.lora_and_embeddings)
    one_side = trainable in tables and training.sides is not EmbeddingSides.both
    beside = one_side or trainable is Trainable.embeddings_and_edge_layers
    return {"frozen": 2} if narrow and beside else {}


def training_options(training: TrainingConfig) -> dict[str, Any]:
    """Options of training that can change its result."""
    # options that came later keep old keys while unset
    later = (
        "ahead", "anchor", "anchor_examples", "anchor_l1", "budget", "datamodule", "freeze_norms",
    )  # fmt: skip
    unset = [name for name in later if not getattr(training, name)]
    if training.masking == MaskingConfig():
        unset.append("masking")
    if not training.shield.share:
        unset.append("shield")
    if training.schedule is not Schedule.wsd:
        unset.append("decay")
    if training.adapter == AdapterConfig():
        unset.append("adapter")
    found = options(training, *_NEUTRAL_TRAINING, *unset)
    found["lora"] = {
        key: value for key, value in found["lora"].items()
        if value is not None or key not in ("first", "last")
    }  # fmt: skip
    return found


def pair_languages(loss: PairLoss, data: DataConfig) -> list[str]:
    """Languages whose pairs a loss reads."""
    targets = data.romanise.languages if loss.sides is Sides.romanised else data.languages
    return list(targets if loss.languages is None else loss.languages)


def pair_key(loss: PairLoss | None, data: DataConfig) -> dict[str, Any]:
    """What enters the key of a step that reads sentence pairs; nothing where it reads none."""
    if loss is None:
        return {}
    return {
        "pair_loss": {**options(loss), "version": loss.version},
        "pairs": [pair_languages(loss, data), open_data(data).fingerprint()],
    }


def pair_faults(loss: PairLoss | None, training: TrainingConfig) -> Iterator[tuple[str, str]]:
    """What does not go together with pairs."""
    if loss is None:
        return
    if training.shield.share:
        yield "training.shield.share", "is not there beside pair_loss; set it to 0"
    if training.datamodule is not None:
        yield "training.datamodule", "brings no pairs, which pair_loss reads; leave one of them out"
