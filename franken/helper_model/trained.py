"""``helper_model=trained``: a small model of the target languages over the target tokenizer.

Only its input rows are of use, so the models are as small as rows allow: input and output
embeddings are tied, and the loss sees the vocabulary at the guessed positions alone.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from franken.config.checks import at_least, in_range
from franken.config.trainer import TrainerConfig
from franken.declare import option
from franken.errors import DataError
from franken.helper_model.base import HelperModel, Texts
from franken.lazy import later

with later():
    import torch
    from torch import Tensor
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerBase,
    )

    from franken import progress
    from franken.files import hash_json
    from franken.helper_model.common.sequences import LanguageTurns, collect_tokens, trained_part
    from franken.parts.table import Table
    from franken.parts.tokenizer_files import token_count, tokenizer_identity
    from franken.seeds import derive_seed
    from franken.training.environment import isolated
    from franken.training.loss import chunked_linear_cross_entropy

Lines = Callable[[], Iterable[str]]
"""Opens a stream of lines anew."""
logger = logging.getLogger(__name__)
_CHUNK_TOKENS = 1024
_WARM_UP = 0.1
_WEIGHT_DECAY = 0.01


class HelperKind(StrEnum):
    """What a trained helper learns."""

    masked = "masked"
    """Hidden tokens from both sides (a small BERT)."""
    causal = "causal"
    """The next token (a small Llama)."""


@option
class TrainedHelper(HelperModel):
    """A small causal or masked model trained on the target-language text.

    Not resumable: it is meant for minutes. Languages take turns, so each has the same share.
    """

    kind: HelperKind = HelperKind.causal
    """Which kind SALT used is not known for sure; within minutes of training a causal one, which
    learns from every token, places words far better."""
    hidden_size: int = 128
    """Also the width of the table."""
    layers: int = 2
    """Transformer layers."""
    heads: int = 4
    """Attention heads; divide ``hidden_size``."""
    sequence_length: int = 64
    """Tokens of one sequence."""
    steps: int = 300
    """Optimiser steps."""
    batch_size: int = 16
    """Sequences per step."""
    lr: float = 2e-3
    """Peak; the first tenth of the steps rises to it, the rest falls to zero along a cosine."""
    mask_share: float = 0.15
    """Share of tokens that a masked model must guess; of these 80 % are hidden, 10 % replaced."""
    min_count: int = 1
    """Tokens that the training text holds less often have no row (a row of zeros): what they have
    was not learnt. Methods count them, take them for no anchors, and let them fall back. 0: keep
    every row."""

    def faults(self) -> Iterator[tuple[str, str]]:
        for key in ("hidden_size", "layers", "heads", "steps", "batch_size"):
            yield from at_least(key, getattr(self, key), 1)
        yield from at_least("sequence_length", self.sequence_length, 2)
        yield from at_least("lr", self.lr, 0.0)
        yield from at_least("min_count", self.min_count, 0)
        yield from in_range("mask_share", self.mask_share, 0.01, 0.9)
        if self.heads > 0 and self.hidden_size % self.heads:
            yield "hidden_size", f"{self.hidden_size} is no multiple of heads={self.heads}"

    def table(
        self, tokenizer: PreTrainedTokenizerBase, texts: Texts, trainer: TrainerConfig, seed: int
    ) -> tuple[Table, dict[str, Any]]:
        with isolated(trainer.threads):
            table, trained = train_helper(self, tokenizer, texts, seed, device=trainer.device)
        return table, asdict(trained)


@dataclass(frozen=True)
class HelperReport:
    """What came of the training."""

    tokens: dict[str, int]
    """Language -> tokens of text used."""
    steps: int
    first_loss: float
    last_loss: float
    """Means over the first and the last tenth of the steps, in nats per guessed token."""
    unigram_entropy: float
    """Of the text, in nats: what a model reaches that looks at no neighbours."""
    unseen_rows: int
    """Ids that the text holds less than ``min_count`` times: they have rows of zeros."""


def train_helper(
    config: TrainedHelper,
    tokenizer: PreTrainedTokenizerBase,
    texts: Mapping[str, Lines],
    seed: int,
    *,
    device: str = "cpu",
) -> tuple[Table, HelperReport]:
    """Train a model and keep its input rows, those of tokens apart that it never read.

    Global generators are used and put back. Equal seeds give equal bytes on one machine.

    Args:
        config: size and schedule.
        tokenizer: the target tokenizer. A masked model gets a mask row of its own where the
            tokenizer has no mask token; that row is dropped again.
        texts: language -> its text.
        seed: of weights, order and masks.
        device: where to train.

    Raises:
        DataError: where there is no text at all.
    """
    per_language = (
        -(-config.steps * config.batch_size // max(len(texts), 1)) * config.sequence_length
    )
    tokens = {
        code: collect_tokens(tokenizer, lines(), per_language) for code, lines in texts.items()
    }
    without = sorted(code for code, found in tokens.items() if not len(found))
    tokens = {code: found for code, found in tokens.items() if len(found)}
    if not tokens:
        raise DataError(
            f"helper_model=trained has no text: none of the languages {sorted(texts)} has "
            "monolingual text or documents. Name them in data, or take helper_model=checkpoint"
        )
    if without:
        logger.warning(
            "helper_model=trained: no monolingual text or documents of %s; the helper learns "
            "nothing of their tokens. Name some in data, or leave the languages out",
            ", ".join(without),
        )
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(derive_seed(seed, "helper", "weights"))
        model = _model(config, tokenizer).to(device)
        losses = _train(model, config, tokenizer, tokens, seed, device)
    rows = model.get_input_embeddings().weight.detach()[: token_count(tokenizer)].cpu().clone()
    options = asdict(config)
    lineage = hash_json([options, tokenizer_identity(tokenizer), seed])
    tenth = max(1, len(losses) // 10)
    text = torch.cat([trained_part(found, config.sequence_length) for found in tokens.values()])
    unseen = torch.bincount(text, minlength=len(rows)) < config.min_count
    rows[unseen] = 0
    report = HelperReport(
        {code: len(found) for code, found in tokens.items()},
        len(losses),
        sum(losses[:tenth]) / tenth,
        sum(losses[-tenth:]) / tenth,
        _entropy(text),
        int(unseen.sum()),
    )
    table = Table(
        tokenizer, rows, None, None, f"helper:{lineage}", {"method": "trained helper", **options}
    )
    return table, report


def _model(config: TrainedHelper, tokenizer: PreTrainedTokenizerBase) -> Any:
    shape: dict[str, Any] = {
        "hidden_size": config.hidden_size,
        "intermediate_size": 4 * config.hidden_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "max_position_embeddings": config.sequence_length,
        "tie_word_embeddings": True,
        "pad_token_id": None,
    }
    count = token_count(tokenizer)
    if config.kind is HelperKind.causal:
        return LlamaForCausalLM(LlamaConfig(vocab_size=count, **shape))
    extra = int(_mask_id(tokenizer) == count)
    bert = BertConfig(
        vocab_size=count + extra,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **shape,
    )
    return BertForMaskedLM(bert)


def _train(
    model: Any,
    config: TrainedHelper,
    tokenizer: PreTrainedTokenizerBase,
    tokens: dict[str, Tensor],
    seed: int,
    device: str,
) -> list[float]:
    """Losses of all steps."""
    turns = LanguageTurns(tokens, config.sequence_length, derive_seed(seed, "helper", "order"))
    generator = torch.Generator().manual_seed(derive_seed(seed, "helper", "masks"))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.lr, betas=(0.9, 0.98), weight_decay=_WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: _factor(s, config.steps))
    guess = _guess_next if config.kind is HelperKind.causal else _guess_masked
    mask = _mask_id(tokenizer)  # looks through the vocabulary
    model.train()
    losses = []
    lines = progress.Lines("training the helper")
    for step in range(config.steps):
        batch = turns.next(config.batch_size)
        loss = guess(model, batch, config, mask, generator, device)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        lines("", step + 1, config.steps)
    return losses


def _guess_next(
    model: Any, batch: Tensor, config: TrainedHelper, mask: int, _: torch.Generator, device: str
) -> Tensor:
    ids = batch.to(device)
    hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state
    return chunked_linear_cross_entropy(
        hidden.flatten(0, 1),
        model.lm_head.weight,
        ids[:, 1:].flatten(),
        chunk_tokens=_CHUNK_TOKENS,
    )


def _guess_masked(
    model: Any,
    batch: Tensor,
    config: TrainedHelper,
    mask: int,
    generator: torch.Generator,
    device: str,
) -> Tensor:
    chosen, inputs = mask_tokens(batch, mask, config.mask_share, generator)
    hidden = model.bert(input_ids=inputs.to(device)).last_hidden_state[chosen.to(device)]
    head = model.cls.predictions
    return chunked_linear_cross_entropy(
        head.transform(hidden),
        head.decoder.weight,
        batch[chosen].to(device),
        bias=head.decoder.bias,
        chunk_tokens=_CHUNK_TOKENS,
    )


def mask_tokens(
    batch: Tensor, mask: int, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Choose what is to be guessed (Devlin et al. 2019).

    Args:
        batch: ``(B, L)`` token ids.
        mask: id of the mask token.
        share: of tokens to guess; at least one per batch.
        generator: of the choices.

    Returns:
        ``(B, L)`` bool, and the ids with 80 % of these masked and 10 % exchanged for tokens from
        elsewhere in the batch.
    """
    chosen = torch.rand(batch.shape, generator=generator) < share
    chosen.view(-1)[int(torch.randint(batch.numel(), (1,), generator=generator))] = True
    fate = torch.rand(batch.shape, generator=generator)
    others = batch.view(-1)[torch.randint(batch.numel(), batch.shape, generator=generator)]
    inputs = torch.where(chosen & (fate < 0.8), mask, batch)
    return chosen, torch.where(chosen & (fate >= 0.9), others, inputs)


def _mask_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The mask token, or the id of an extra row."""
    own = tokenizer.mask_token_id
    return token_count(tokenizer) if own is None else int(own)


def _factor(step: int, steps: int) -> float:
    """Share of the peak learning rate."""
    rising = max(1, round(_WARM_UP * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _entropy(tokens: Tensor) -> float:
    shares = torch.bincount(tokens).double() / len(tokens)
    return float(torch.special.entr(shares).sum())
