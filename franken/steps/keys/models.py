"""Keys of steps that read, train, join, score and write models."""

from dataclasses import asdict
from typing import Any

from franken.config.base_model import LoadedModel, PretrainedModel
from franken.config.eval_suite import LmEvalSuite
from franken.config.root import Config
from franken.config.steps import (
    EvaluateStep,
    ExportStep,
    LoadStep,
    PretrainStep,
    SwapStep,
    TrainStep,
)
from franken.data import open_data
from franken.steps.keys.common import (
    frozen_weights,
    options,
    precision_of,
    split_of,
    texts,
    training_options,
)
from franken.steps.keys.files import checkpoint_hash, harness_hash


def load(step: LoadStep, config: Config) -> dict[str, Any]:
    """The files count, not the place they lie in."""
    assert isinstance(step.model, LoadedModel)
    return {"files": checkpoint_hash(step.model), "dtype": str(step.model.dtype)}


def pretrain(step: PretrainStep, config: Config) -> dict[str, Any]:
    """Seed apart, what the weights come from."""
    assert isinstance(step.model, PretrainedModel)
    return {
        "model": options(step.model, "name"), "training": training_options(step.training),
        "precision": precision_of(config), "data": split_of(step.data, step.split),
    }  # fmt: skip


def train(step: TrainStep, config: Config) -> dict[str, Any]:
    """What is tuned, how, and on what."""
    content: dict[str, Any] = {
        "trainable": str(step.trainable), "training": training_options(step.training),
        "precision": precision_of(config), **frozen_weights(step.training, step.trainable, config),
    }  # fmt: skip
    if step.preference is None:
        content["data"] = split_of(step.data, step.split)
    else:
        content["preference"] = options(step.preference, "name")
        if step.ranked is None:
            pairs = open_data(step.data).fingerprint({"preferences"})
            content["pairs"] = [pairs, step.data.mixtures[step.split].tasks]
    if step.training.anchor_examples:
        content["earlier"] = [split_of(step.data, split) for split in step.earlier]
    return content


def swap(step: SwapStep, config: Config) -> dict[str, Any]:
    """The rule for control rows."""
    return asdict(step.composition)


def evaluate(step: EvaluateStep, config: Config) -> dict[str, Any]:
    """Batches only tile the scores. The harness's tasks bring their own data."""
    if isinstance(step.suite, LmEvalSuite):
        left_out = ("name", "batch_tokens", "include_path", "local")
        return {
            "suite": options(step.suite, *left_out), "harness": harness_hash(step.suite),
            "languages": [step.data.source_language, *step.data.languages],
            "precision": precision_of(config),
        }  # fmt: skip
    return {
        "suite": options(step.suite, "name", "batch_tokens"), "data": texts(step.data),
        "precision": precision_of(config),
    }  # fmt: skip


def export(step: ExportStep, config: Config) -> dict[str, Any]:
    """The name that the card shows."""
    return {"recipe": step.recipe}
