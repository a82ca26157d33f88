"""Train a tokenizer and a small model from random weights: the embedded base models."""

from collections.abc import Iterator
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)  # fmt: skip

from franken.config.base_model import PretrainedModel
from franken.config.steps import PretrainStep
from franken.config.training import Trainable
from franken.data import DataSource, open_data
from franken.errors import ConfigError
from franken.parts.anatomy import anatomy_of
from franken.parts.body import save_body
from franken.parts.surgery import take_table
from franken.parts.table import save_table
from franken.parts.tokenizer_files import load_tokenizer, save_tokenizer
from franken.seeds import derive_seed
from franken.steps.context import StepContext
from franken.steps.models import HERE, write_model
from franken.steps.train import fit
from franken.tokenizer.families import train_tokenizer


def run(step: PretrainStep, context: StepContext) -> dict[str, Any]:
    """Tokenizer, random weights, training, then body and table apart."""
    assert isinstance(step.model, PretrainedModel)
    source = open_data(step.data)
    languages = step.data.mixtures[step.split].languages or [
        step.data.source_language, *step.data.languages,
    ]  # fmt: skip
    tokenizer = _tokenizer(step.model, source, languages, context)
    model = _random_model(step.model, tokenizer, context.seed)
    report = fit(
        model, tokenizer, context, data=step.data, split=step.split, training=step.training,
        trainable=Trainable.full,
    )  # fmt: skip
    fingerprint = save_body(model, context.directory / "body", tokenizer=tokenizer)
    table = take_table(model, tokenizer, lineage=fingerprint)
    save_table(table, context.directory / "table")
    write_model(
        context, body=[HERE, "", "body"], table=[HERE, "", "table"], deltas=[],
        lineage=fingerprint, fingerprint=fingerprint,
    )  # fmt: skip
    return {"parameters": sum(p.numel() for p in model.parameters()), "training": report}


def _tokenizer(
    model: PretrainedModel, source: DataSource, languages: list[str], context: StepContext
) -> PreTrainedTokenizerBase:
    kept = context.scratch / "tokenizer"
    if not (kept / "tokenizer.json").exists():
        limit = model.tokenizer.max_lines_per_language
        trained = train_tokenizer(
            model.tokenizer.kind, _lines(source, languages, limit), model.tokenizer.size
        )
        save_tokenizer(trained, kept)
    return load_tokenizer(kept)


def _lines(source: DataSource, languages: list[str], limit: int) -> Iterator[str]:
    for language in languages:
        left = limit
        for role in ("monolingual", "documents"):
            if not source.has(role, language):
                continue
            for text in source.texts(role, language):
                for line in text.splitlines():
                    if left <= 0:
                        break
                    yield line
                    left -= 1


def _random_model(
    model: PretrainedModel, tokenizer: PreTrainedTokenizerBase, seed: int
) -> PreTrainedModel:
    specials = {
        f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("bos", "eos", "pad")
    }
    try:
        config = AutoConfig.for_model(
            model.architecture, vocab_size=len(tokenizer), **specials, **model.settings
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"base_model.architecture={model.architecture!r} with base_model.settings="
            f"{model.settings} gives no transformers config: {error}"
        ) from error
    anatomy_of(config)  # an unknown family is refused before it is trained
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "pretrain", "weights"))
        network: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return network
