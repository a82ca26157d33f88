"""Train a tokenizer and a small model from random weights: the embedded base models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any

from franken.config.base_model import BaseModelConfig, PretrainedModel
from franken.config.data import DataConfig
from franken.config.training import Trainable, TrainingConfig
from franken.data import DataSource, open_data
from franken.errors import ConfigError
from franken.lazy import later
from franken.steps.base import HERE, Step, step
from franken.steps.common.key_parts import (
    options,
    precision_of,
    split_of,
    training_options,
)

with later():
    import torch
    from transformers import (
        AutoConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
    )

    from franken.config.root import Config
    from franken.families.objective import auto_class, is_masked
    from franken.parts.anatomy import anatomy_of
    from franken.parts.body import save_body
    from franken.parts.surgery import take_table
    from franken.parts.table import save_table
    from franken.parts.tokenizer_files import load_tokenizer, save_tokenizer
    from franken.seeds import derive_seed
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import write_model
    from franken.steps.train import fit
    from franken.tokenizer.families import SpecialTokens, train_tokenizer


@step
class PretrainStep(Step):
    """Train a tokenizer and a small model from random weights."""

    model: BaseModelConfig = field(default_factory=BaseModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "pretraining"
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def key(self, config: Config) -> dict[str, Any]:
        """Seed apart, what the weights come from."""
        assert isinstance(self.model, PretrainedModel)
        return {
            "model": options(self.model, "name"), "training": training_options(self.training),
            "precision": precision_of(config), "data": split_of(self.data, self.split),
        }  # fmt: skip

    def run(self, context: StepContext) -> dict[str, Any]:
        """Tokenizer, random weights, training, then body and table apart."""
        assert isinstance(self.model, PretrainedModel)
        source = open_data(self.data)
        languages = self.data.mixtures[self.split].languages or [
            self.data.source_language, *self.data.languages,
        ]  # fmt: skip
        tokenizer = _tokenizer(self.model, source, languages, context)
        model = _random_model(self.model, tokenizer, context.seed)
        report = fit(
            model, tokenizer, context, data=self.data, split=self.split, training=self.training,
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
        masked = is_masked(AutoConfig.for_model(model.architecture))
        trained = train_tokenizer(
            model.tokenizer.kind, _lines(source, languages, limit), model.tokenizer.size,
            specials=SpecialTokens.of_encoder() if masked else None,
        )  # fmt: skip
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
        network: PreTrainedModel = auto_class(config).from_config(config)
    return network
