"""Initialisers that train: each takes the table of a start map and gives a better one.

``franken/init_method/<name>.py`` fits the start map; the module of the same name here trains on.
The body is never changed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from transformers import PreTrainedModel

from franken.config.trainer import TrainerConfig
from franken.config.training import TrainingConfig
from franken.errors import ConfigError
from franken.init_method import TokenMap, provenance_report
from franken.init_method.base import InitMethod
from franken.parts.table import Table


@dataclass
class LearnTask:
    """What a learner is given."""

    method: InitMethod
    model: PreTrainedModel
    """The body with the source table on it; the learner may change its table."""
    source: Table
    start: Table
    """The start map's table; its tokenizer is the target's."""
    token_map: TokenMap
    """The start map."""
    data: Callable[[TrainingConfig], Any]
    """Schedule -> data module of the training split under the target tokenizer."""
    texts: Callable[[], Iterator[str]]
    """Monolingual records of the target languages, one language after the other."""
    trainer: TrainerConfig
    work_dir: Path
    """Resumable state, where there is some."""
    seed: int
    loggers: Sequence[Logger] = field(default_factory=list)


@dataclass
class LearnedRows:
    """What a learner gives back."""

    table: Table
    token_map: TokenMap
    """The start map, or the trained one where the weights are what trains."""
    report: dict[str, Any]
    """Plain JSON: losses, steps, counts."""


def learn_rows(task: LearnTask) -> LearnedRows:
    """Train by the method that the config names.

    Raises:
        ConfigError: where the method has no learner.
    """
    if not task.method.learned:
        raise ConfigError(f"init_method={task.method.name} has nothing to train")
    return task.method.learn(task)


def learned_table(task: LearnTask) -> tuple[Table, TokenMap]:
    """Train, and say in the report of table and map what came of it."""
    learned = learn_rows(task)
    notes = {**learned.token_map.notes, "trained": learned.report}
    token_map = replace(learned.token_map, notes=notes)
    report = provenance_report(token_map, learned.table.input)
    seed = task.start.provenance.get("seed")
    return replace(learned.table, provenance={"seed": seed, **report}), token_map
