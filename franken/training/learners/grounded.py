"""Grounding: rows of new tokens trained on what they mean, the body frozen (arXiv 2604.02324)."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from franken.config.training import Schedule, TrainingConfig
from franken.errors import DataError
from franken.parts.table import Table
from franken.tokenizer.named_tokens import NamedToken, read_named_tokens
from franken.training.environment import isolated
from franken.training.frozen import FrozenModel, descend
from franken.training.learners import LearnedRows, LearnTask
from franken.training.learners.token_distillation import NewRows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from franken.init_method.grounded import GroundedInit


@dataclass(frozen=True)
class Pair:
    """A text with a described token, and what of it is learnt."""

    ids: list[int]
    learnt: int
    """So many ids at its end are labels."""


class Grounding:
    """The loss of pairs under the frozen model, as a function of the rows of described tokens."""

    def __init__(self, frozen: FrozenModel, start: Table, rows: NewRows) -> None:
        device = frozen.device
        self.frozen, self.new = frozen, rows.to(device)
        self._input = start.input.float().to(device)
        output = start.input if start.output is None else start.output
        self._head = output.float().to(device)
        self._bias = None if start.output_bias is None else start.output_bias.float().to(device)
        self._ids = torch.tensor(rows.ids, device=device)
        self._number = torch.full((start.rows,), -1, device=device)
        self._number[self._ids] = torch.arange(len(rows.ids), device=device)

    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """Mean over pairs of the mean negative log-likelihood of what each learns."""
        longest = max(len(pair.ids) for pair in pairs)
        ids = torch.zeros(len(pairs), longest, dtype=torch.int64)
        segments, learnt = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
        for row, pair in enumerate(pairs):
            size = len(pair.ids)
            ids[row, :size], segments[row, :size] = torch.tensor(pair.ids), 1
            learnt[row, size - pair.learnt : size] = True
        ids, segments, learnt = (x.to(self.frozen.device) for x in (ids, segments, learnt))
        numbers = self._number[ids]
        embedded = torch.where(
            (numbers >= 0)[..., None],
            self.frozen.embed(self.new.input, numbers.clamp_min(0)),
            self.frozen.embed(self._input, ids),
        )
        positions = torch.arange(longest, device=ids.device).expand_as(ids)
        states = self.frozen.states(embedded, segments, positions)
        counted = learnt[:, 1:]
        new = self.new.input if self.new.output is None else self.new.output
        head = self._head.index_copy(0, self._ids, new)
        logits = self.frozen.logits(states[:, :-1][counted], head, self._bias)
        nats = cross_entropy(logits, ids[:, 1:][counted], reduction="none")
        shares = torch.tensor([1 / pair.learnt for pair in pairs], device=ids.device)
        return (nats * shares[counted.nonzero()[:, 0]]).sum() / len(pairs)


def learn(task: LearnTask, method: GroundedInit) -> LearnedRows:
    """Train the rows of named tokens that have a text; all others keep their bits.

    Raises:
        DataError: where no new token has one.
    """
    ids, known = task.start.tokenizer.get_vocab(), task.source.tokenizer.get_vocab()
    named = [
        token
        for token in read_named_tokens(method.tokens)
        if token.text and token.token in ids and token.token not in known
    ]
    if not named:
        raise DataError(
            f"init_method=grounded: {method.tokens} describes no token that the base lacks; give "
            'lines like {"token": "angioplasty", "text": "widening of a blocked vessel"}'
        )
    rows = NewRows(task.start, [ids[token.token] for token in named], head=True)
    pairs = pairs_of(named, task.start.tokenizer, method)
    report: dict[str, Any] = {"what": "rows of described tokens", "grounded": len(named)}
    with isolated(task.trainer.threads):
        grounding = Grounding(FrozenModel(task.model, task.trainer), task.start, rows)
        report |= _train(grounding, pairs, task, method)
    return LearnedRows(rows.put(task.start), task.token_map, report)


def pairs_of(
    named: Sequence[NamedToken], tokenizer: PreTrainedTokenizerBase, method: GroundedInit
) -> list[Pair]:
    """Texts of both directions, in the tokens of the new vocabulary."""
    found = []
    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    vocab = tokenizer.get_vocab()

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids if text else []
        return ids

    for token in named:
        text, own = (token.text or "").strip(), vocab[token.token]
        found.append(Pair([*bos, *encode(method.ask.format(text=text)), own], 1))
        if method.both_ways:
            before, _, after = method.tell.partition("{token}")
            answer = encode(f" {text}")
            opening = [*bos, *encode(before), own, *encode(after)]
            found.append(Pair([*opening, *answer], len(answer)))
    return found


def _train(
    grounding: Grounding, pairs: list[Pair], task: LearnTask, method: GroundedInit
) -> dict[str, Any]:
    steps = method.epochs * math.ceil(len(pairs) / method.batch_size)
    schedule = TrainingConfig(
        steps=steps, lr=method.lr, warmup=0.1, schedule=Schedule.linear, betas=[0.9, 0.999]
    )

    def batches() -> Iterator[list[Pair]]:
        for epoch in range(method.epochs):
            order = random.Random(f"{task.seed}/{epoch}").sample(pairs, len(pairs))
            for start in range(0, len(order), method.batch_size):
                yield order[start : start + method.batch_size]

    trained = list(grounding.new.parameters())
    return descend(trained, schedule, batches(), grounding.loss, task.loggers)
