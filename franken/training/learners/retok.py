"""ReTok: the tables of the start map, trained alone for some steps (arXiv 2410.04335)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from franken.config.training import Trainable
from franken.parts.surgery import put_table, take_table
from franken.training.learners import LearnedRows, LearnTask
from franken.training.runner import train_model

if TYPE_CHECKING:
    from franken.init_method.retok import RetokInit


def learn(task: LearnTask, method: RetokInit) -> LearnedRows:
    """Train input and output rows; resumable. Cast once, to the dtype of the start."""
    put_table(task.model, task.start, previous=task.source.tokenizer)
    report = train_model(
        task.model,
        task.start.tokenizer,
        task.data(method.training),
        method.training,
        Trainable.embeddings,
        task.trainer,
        work_dir=task.work_dir,
        seed=task.seed,
        loggers=task.loggers,
    )
    tuned = take_table(task.model, task.start.tokenizer, lineage=task.start.lineage)

    def cast(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.to(task.start.input.dtype)

    table = replace(
        tuned,
        input=tuned.input.to(task.start.input.dtype),
        output=cast(tuned.output),
        output_bias=cast(tuned.output_bias),
    )
    kept = ("steps", "tokens", "trained_parameters", "final_loss", "validation_loss")
    summary = {key: value for key, value in report.to_json().items() if key in kept}
    return LearnedRows(table, task.token_map, {"what": "all rows", **summary})
