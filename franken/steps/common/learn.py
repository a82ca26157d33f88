"""The training of a learned initialiser, inside its ``initialise`` step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from franken.config.training import TrainingConfig
from franken.data import open_data
from franken.data.datamodule import TextDataModule
from franken.init_method import TokenMap
from franken.parts.model import assemble
from franken.parts.table import Table
from franken.seeds import derive_seed
from franken.steps.common.context import StepContext
from franken.steps.common.models import open_model
from franken.token_map.resources import text_of
from franken.training import make_loggers
from franken.training.learners import LearnTask, learned_table

if TYPE_CHECKING:
    from franken.steps.initialise import InitialiseStep


def learn(
    step: InitialiseStep, context: StepContext, source: Table, start: Table, token_map: TokenMap
) -> tuple[Table, TokenMap]:
    """Train what the start map made; the report says so."""
    model, _ = assemble(open_model(context.inputs["base"], context.store))
    loggers = make_loggers(
        context.logger, context.run_dir / "curves" / context.name, group=context.experiment,
        job_type=context.name, run_id=context.key, config=context.log_config,
    )  # fmt: skip
    data, mixture = open_data(step.data), step.data.mixtures[step.split]

    def module(training: TrainingConfig) -> TextDataModule:
        return TextDataModule(
            source=data, mixture=mixture, tokenizer=start.tokenizer, training=training,
            seed=context.seed, work_dir=context.scratch / "corpus",
            source_language=step.data.source_language,
            languages=mixture.languages or [step.data.source_language, *step.data.languages],
            workers=context.trainer.workers,
        )  # fmt: skip

    def texts() -> Iterator[str]:
        limit = float(getattr(step.method, "megabytes", float("inf")))
        return text_of(partial(data.texts, "monolingual"), step.data.languages, limit)

    return learned_table(
        LearnTask(
            method=step.method, model=model, source=source, start=start, token_map=token_map,
            data=module, texts=texts, trainer=context.trainer, work_dir=context.scratch,
            seed=derive_seed(context.seed, "init_method", step.method.name, "training"),
            loggers=loggers,
        )
    )  # fmt: skip
