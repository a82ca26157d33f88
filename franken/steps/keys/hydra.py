"""Keys of the steps of Hydra LLMs."""

from dataclasses import asdict
from typing import Any

from franken.config.root import Config
from franken.config.steps import (
    BackTranslateStep,
    HydraStep,
    HydraTrainStep,
    LoadHydraStep,
    SelectTableStep,
)
from franken.steps.keys.common import (
    frozen_weights,
    precision_of,
    prompt,
    split_of,
    texts,
    training_options,
)
from franken.steps.keys.files import hydra_hash


def load_hydra(step: LoadHydraStep, config: Config) -> dict[str, Any]:
    """The files count, not the place they lie in."""
    return {"files": hydra_hash(step.path)}


def hydra(step: HydraStep, config: Config) -> dict[str, Any]:
    """Routing, the order of tables and their names."""
    own: dict[str, Any] = {"keep": True} if step.keep else {}
    if step.names:
        own["names"] = step.names
    return {"composition": asdict(step.composition), "tables": list(step.tables), **own}


def select_table(step: SelectTableStep, config: Config) -> dict[str, Any]:
    """The name of the table."""
    return {"table": step.table}


def hydra_train(step: HydraTrainStep, config: Config) -> dict[str, Any]:
    """What is tuned, how, on which pairs read in which direction."""
    noise = {"mismatched": step.mismatched} if step.mismatched else {}
    return {
        "trainable": str(step.trainable), "tables": sorted(step.tables), **noise,
        "flow": [step.directions, step.copies, prompt(step.prompt, step.data)],
        "training": training_options(step.training), "data": split_of(step.data, step.split),
        "precision": precision_of(config), **frozen_weights(step.training, step.trainable, config),
    }  # fmt: skip


def back_translate(step: BackTranslateStep, config: Config) -> dict[str, Any]:
    """The sentences, the prompt and the search."""
    own = ("role", "sentences", "beams", "temperature", "max_new_tokens", "stop")
    return {
        **{name: getattr(step, name) for name in own},
        "prompt": prompt(step.prompt, step.data), "data": texts(step.data),
    }  # fmt: skip
