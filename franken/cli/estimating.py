"""``python -m franken ... --estimate``: memory and time of a composed job, before it runs."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from franken.config.base_model import BaseModelConfig, LoadedModel, PretrainedModel
from franken.config.root import Config
from franken.config.trainer import Precision
from franken.config.training import Trainable, TrainingConfig
from franken.estimate import KNOWN, Estimate, Shape, estimate
from franken.recipe import build_graph

EXTENSION_SHARE = 0.34
"""Of the base's rows, where ``vocab=extension`` is not told how many."""


def print_estimate(config: Config, *, rate: float | None = None) -> None:
    """Print a line per training of the job.

    Args:
        config: a job without faults.
        rate: floating-point operations per second; default: measured here on a product.
    """
    shape = shape_of(config.base_model)
    if shape is None:
        print(
            f"base_model={config.base_model.name}: its config is not at hand (a hub id that was not"
            " fetched, or field names of its own), so nothing can be said; give a local directory"
        )
        return
    rate = rate or measured_rate(config.trainer.threads)
    head = ("step", "trains", "tokens", "weights", "grads+Adam", "kept", "logits", "sum", "hours >")
    print("".join(f"{name:>11}" if i > 1 else f"{name:<26}" for i, name in enumerate(head)))
    for name, trainable, training, rows in trainings(config, shape):
        found = estimate(
            shape.with_rows(rows), trainable, training,
            half_precision=config.trainer.precision is not Precision.fp32,
            processes=config.trainer.processes, sharded=config.trainer.strategy == "fsdp",
            offload=config.trainer.offload,
        )  # fmt: skip
        print(_line(name, str(trainable), found, rate * config.trainer.processes))
    print(
        f"GB per process, by formula (docs/memory.md), 0.4 GB of imports apart; hours at"
        f" {rate / 1e9:.0f} GFLOP/s, what a plain product reaches here: a bound from below."
        " A budget in bytes, learned initialisers and evaluation are not in it"
    )


def trainings(config: Config, shape: Shape) -> Iterator[tuple[str, Trainable, TrainingConfig, int]]:
    """Step, policy, schedule and rows of the table, for every training that the job needs."""
    graph = build_graph(config)
    rows = new_rows(config, shape)
    for name in graph.needed():
        step: Any = graph.steps[name]
        training = getattr(step, "training", None)
        if step.kind not in ("train", "pretrain") or training is None:
            continue
        trainable = Trainable.full if step.kind == "pretrain" else step.trainable
        above = graph.ancestors(name)
        adapted = any(graph.steps[other].kind == "initialise" for other in above)
        yield name, trainable, training, rows if adapted else shape.rows


def new_rows(config: Config, shape: Shape) -> int:
    """Rows of the new vocabulary, as far as its options say."""
    vocab: Any = config.vocab
    if getattr(vocab, "added", None):
        return shape.rows + int(vocab.added)
    if getattr(vocab, "size", None):
        return int(vocab.size)
    grown = round(EXTENSION_SHARE * shape.rows) if vocab.name == "extension" else 0
    return shape.rows + grown


def shape_of(model: BaseModelConfig) -> Shape | None:
    """From a local config, from the settings of a model made on the spot, or a known one."""
    from transformers import AutoConfig

    try:
        if isinstance(model, PretrainedModel):
            return Shape.of_config(
                AutoConfig.for_model(
                    model.architecture, vocab_size=model.tokenizer.size, **model.settings
                )
            )
        if isinstance(model, LoadedModel) and Path(model.path).expanduser().is_dir():
            from franken.parts.anatomy import text_config
            from franken.parts.checkpoint import read_config

            return Shape.of_config(text_config(read_config(Path(model.path).expanduser())))
    except AttributeError:
        return None
    return KNOWN.get(model.name)


def measured_rate(threads: int | None, seconds: float = 0.3) -> float:
    """Operations per second of float32 products of 1024 here."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    left = torch.ones(1024, 1024)
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds or not done:
        left @ left
        done += 1
    return done * 2 * 1024**3 / (time.perf_counter() - started)


def _line(name: str, trainable: str, found: Estimate, rate: float) -> str:
    amounts = (
        found.frozen + found.trained, found.gradients + found.optimiser, found.activations,
        found.logits, found.peak,
    )  # fmt: skip
    cells = "".join(f"{amount / 1e9:>11.3g}" for amount in amounts)
    hours = found.operations / rate / 3600
    return f"{name:<26}{trainable:<26}{found.tokens:>11,}{cells}{hours:>11.2g}"
