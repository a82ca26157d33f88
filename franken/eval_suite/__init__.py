"""Evaluation of a model by the tasks of a suite: batched, with n, standard errors and outputs.

``evaluate`` runs a suite; each kind of task is one file of :mod:`franken.tasks`. Results do not
depend on batch size or item order.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from franken.composition.hydra import HydraModel
from franken.config.checks import checked, hint
from franken.config.eval_suite import (
    EvalSuiteConfig,
    LmEvalSuite,
    SuiteConfig,
    TaskConfig,
)
from franken.data.labelled import unit_of
from franken.data.source import DataSource
from franken.decoding import stop_ids
from franken.errors import ConfigError
from franken.eval_suite import lm_eval
from franken.eval_suite.chat import forms, lacks_chat, plain_stop
from franken.eval_suite.encoding import Encoder
from franken.eval_suite.hydra import readers_and_writers
from franken.eval_suite.journal import Journal
from franken.eval_suite.progress import shown_progress
from franken.eval_suite.readout import Readout, read_out
from franken.eval_suite.suite import Score, SuiteResult, TaskRun
from franken.parts.label_head import Labeller
from franken.products import asking
from franken.tasks.base import Guesses, kind_of

__all__ = ["Score", "SuiteResult", "check_suite", "evaluate"]


def evaluate(
    model: Any,
    tokenizer: Any,
    suite: SuiteConfig,
    data: DataSource,
    *,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool = True,
    journal: Journal | None = None,
    origin: Any = None,
    head: Labeller | None = None,
) -> SuiteResult:
    """Run every task of a suite on one model.

    Args:
        model: a causal LM of transformers, also one wrapped by peft; or a ``HydraModel``, whose
            tables are then chosen by language (see ``hydra.py``).
        tokenizer: its tokenizer; not used for a ``HydraModel``.
        suite: the tasks.
        data: where texts and evaluation sets come from.
        seed: draws the worked examples; nothing else is random.
        device: where to run; ``None``: where the model is. The model is left there.
        progress: whether to draw a bar on a terminal, or write a line now and then elsewhere.
        journal: where results are kept as they come, and what an earlier run kept; closed at the
            end.
        origin: what the vocabulary came from (``new_tokens.Origin``), for tasks of that kind.
        head: on the model's body, for tasks of labels.

    Returns:
        Scores in the order of the suite and of the languages; per-item outputs by task; what was
        skipped because the data lack a language.

    Raises:
        ConfigError: for options out of range and for a task whose source the data do not have,
            before anything is run.
    """
    checked(suite, f"eval_suite={suite.name}")
    check_suite(suite, data)
    if isinstance(suite, LmEvalSuite):
        options: dict[str, Any] = {
            "seed": seed, "device": device, "progress": progress, "journal": journal
        }  # fmt: skip
        return lm_eval.evaluate(model, tokenizer, suite, data, **options)
    assert isinstance(suite, EvalSuiteConfig)
    result = SuiteResult()
    if device is not None:
        model.to(device)
    was_training = bool(model.training)
    model.eval()
    kept = journal or Journal()
    try:
        with asking(model), shown_progress(progress) as advance:
            for name, task in suite.tasks.items():
                for config, encoder, readout in _readers_and_writers(
                    model, tokenizer, task, data, suite.opening
                ):
                    made = TaskRun(
                        name, config, data, encoder, readout, suite.batch_tokens, seed, result,
                        advance, suite.limit_takes, kept, origin=origin, head=head,
                    )  # fmt: skip
                    _run_forms(made)
    finally:
        kept.close()
        model.train(was_training)
    return result


def _run_forms(task: TaskRun) -> None:
    """Score a task plainly, in chat form, or both."""
    kind = kind_of(task.config.kind)
    own = Guesses.next if task.readout.guess is None else Guesses.hidden
    reason = None
    if kind.guesses is Guesses.labels:
        unit = unit_of(task.data, task.config.source)
        if task.head is None or task.head.labels.unit is not unit:
            reason = f"it scores models with a head that labels each {unit}, and this has none"
    elif kind.guesses not in (own, Guesses.either):
        reason = f"it scores models that guess {kind.guesses} tokens, not {own} ones"
    if reason is not None:
        for lang in task.config.languages or [task.source_language, *task.data.config.languages]:
            task.skip(lang, reason)
        return
    if lacks_chat(task.config, task.encoder):
        for lang in task.config.languages or [*task.data.config.languages]:
            task.skip(lang, "the model has no chat template")
    for name, chat in forms(task.name, task.config, task.encoder):
        config = plain_stop(task.config) if chat else task.config
        kind.run(replace(task, name=name, config=config, chat=chat, set_sizes={}))


def _readers_and_writers(
    model: Any, tokenizer: Any, task: TaskConfig, data: DataSource, opening: str
) -> Iterable[tuple[TaskConfig, Encoder, Readout]]:
    """What scores a task: an ordinary or routed model as it is, a Hydra LLM by language."""
    if isinstance(model, HydraModel):
        return readers_and_writers(model, task, data, opening)
    own = getattr(model, "readout", None)  # a model with a router brings its own forward pass
    ends = stop_ids(tokenizer, model)
    encoder = Encoder(tokenizer, opening=opening, end_ids=ends)
    return [(task, encoder, read_out(model) if own is None else own())]


def check_suite(suite: SuiteConfig, data: DataSource) -> None:
    """Refuse tasks whose source the data do not have, or that lm-eval does not know, all at once.

    Raises:
        ConfigError: naming each task, its source and the valid ones.
        FrankenError: where lm-eval is wanted and not installed.
    """
    if isinstance(suite, LmEvalSuite):
        lm_eval.known_tasks(lm_eval.task_manager(suite), suite, data)
        return
    assert isinstance(suite, EvalSuiteConfig)
    faults = [
        f"eval_suite.tasks.{name}.source: {fault}"
        for name, task in suite.tasks.items()
        for fault in _source_faults(task, data)
    ]
    if faults:
        raise ConfigError("\n".join(faults))


def _source_faults(task: TaskConfig, data: DataSource) -> list[str]:
    kind = kind_of(task.kind)
    if kind.reads_text:
        valid = [role for role in kind.roles if data.has(role)]
        what = f"a text role that data={data.config.name} offers"
    else:
        valid = data.tasks()
        what = f"an evaluation set of data={data.config.name}"
    if task.source not in valid:
        return [f"{task.source!r} is not {what}.{hint(task.source, valid)}"]
    if kind.schemas and data.task_schema(task.source) not in kind.schemas:
        return [
            f"{task.source!r} has the schema {data.task_schema(task.source)!r}, which a task of "
            f"kind {kind.kind} cannot read; it needs one of {', '.join(kind.schemas)}."
        ]
    return []
