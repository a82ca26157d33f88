"""Token distillation: a new token shall leave the states that its old pieces leave.

AweDist (arXiv 2505.20133): the frozen model reads a snippet in its own segmentation (teacher) and
with the new tokens merged (student); the loss is the mean squared difference of hidden states at
one layer, over the kept tokens and the last piece of each merged run. Only rows of new tokens
train. With ``cross_entropy`` the student also predicts the merged text, weighted by the detached
ratio of the two losses, which trains the head's new rows.

Departures from the release: the student's other tokens keep the source segmentation, so that a
replaced vocabulary can be distilled too, not only an extended one; padding has a mask of its own
(the release tells it by id, which breaks where eos pads); a missing bos is no error; only new rows
have gradients and moments, not the whole table; the head starts from head rows (the release writes
input means into it).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from franken.config.training import Schedule, TrainingConfig
from franken.errors import DataError
from franken.init_method import Provenance, TokenMap
from franken.parts.table import Table
from franken.training.environment import isolated
from franken.training.frozen import FrozenModel, descend
from franken.training.learners import LearnedRows, LearnTask
from franken.training.learners.snippets import Snippet, SnippetBatch, collate, mine

if TYPE_CHECKING:
    from franken.init_method.token_distillation import TokenDistillationInit


class NewRows(nn.Module):
    """Input rows, and where the head trains its rows, of the new tokens."""

    def __init__(self, start: Table, ids: list[int], *, head: bool) -> None:
        """``ids``: new token ids; their rows in ``start`` are where training begins."""
        super().__init__()
        self.ids = ids
        self.input = nn.Parameter(start.input[ids].float())
        self.output: nn.Parameter | None = None
        self.bias: Tensor | None = None
        if head and start.output is not None:
            self.output = nn.Parameter(start.output[ids].float())
        if start.output_bias is not None:
            self.bias = start.output_bias[ids].float()

    def put(self, table: Table) -> Table:
        """A copy of the table with the rows as they are; all other rows keep their bits."""

        def changed(tensor: Tensor, rows: Tensor) -> Tensor:
            made = tensor.clone()
            made[self.ids] = rows.detach().to(device=tensor.device, dtype=tensor.dtype)
            return made

        output = table.output
        if output is not None and self.output is not None:
            output = changed(output, self.output)
        return replace(table, input=changed(table.input, self.input), output=output)


class Distillation:
    """Teacher and student in one frozen model."""

    def __init__(
        self, frozen: FrozenModel, source: Table, rows: NewRows, method: TokenDistillationInit
    ) -> None:
        self.frozen, self.new, self.method = frozen, rows.to(frozen.device), method
        head = source.input if source.output is None else source.output
        self._input = source.input.float().to(frozen.device)
        self._head = self._input if head is source.input else head.float().to(frozen.device)
        bias = source.output_bias
        self._bias = None if bias is None else bias.float().to(frozen.device)

    def loss(self, batch: SnippetBatch) -> Tensor:
        """The distillation loss of a batch, plus the weighted cross-entropy where asked for."""
        frozen, method = self.frozen, self.method
        layer = method.layer if method.target == "hidden" else -1
        with torch.no_grad():
            embedded = frozen.embed(self._input, batch.teacher)
            wanted = self._read(embedded, batch.teacher_segments, layer)
        embedded = torch.where(
            batch.new[..., None],
            frozen.embed(self.new.input, batch.student.where(batch.new, 0)),
            frozen.embed(self._input, batch.student.where(~batch.new, 0)),
        )
        found = self._read(embedded, batch.student_segments, layer)
        real = batch.student_segments > 0
        wanted = wanted.gather(1, batch.last[..., None].expand_as(found))[real]
        if method.target == "hidden":
            loss = (found[real] - wanted).square().mean()
        else:
            loss = kl_div(
                self._scores(found[real]), self._scores(wanted), log_target=True,
                reduction="batchmean",
            )  # fmt: skip
        if not method.cross_entropy:
            return loss
        states = found if layer == -1 else self._read(embedded, batch.student_segments, -1)
        predicted = self._cross_entropy(states, batch)
        return loss + (loss / predicted.clamp_min(1e-12)).detach() * predicted

    def _read(self, embedded: Tensor, segments: Tensor, layer: int) -> Tensor:
        positions = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
        return self.frozen.states(embedded, segments, positions, layer=layer)

    def _scores(self, states: Tensor) -> Tensor:
        return log_softmax(self.frozen.logits(states, self._head, self._bias), dim=-1)

    def _cross_entropy(self, states: Tensor, batch: SnippetBatch) -> Tensor:
        """Mean loss of the next token over source and new vocabulary."""
        new = self.new.input if self.new.output is None else self.new.output
        bias = None
        if self._bias is not None and self.new.bias is not None:
            bias = torch.cat([self._bias, self.new.bias.to(self._bias.device)])
        labels = torch.where(batch.new, batch.student + len(self._head), batch.student)
        counted = batch.student_segments[:, 1:] > 0
        logits = self.frozen.logits(states[:, :-1][counted], torch.cat([self._head, new]), bias)
        return cross_entropy(logits, labels[:, 1:][counted])


def learn(task: LearnTask, method: TokenDistillationInit) -> LearnedRows:
    """Mine snippets, train the rows of the new tokens that have enough of them.

    Raises:
        DataError: where the text holds none of the new tokens.
    """
    candidates = new_tokens(task.token_map)
    report: dict[str, Any] = {"what": "new rows", "new_tokens": len(candidates)}
    if not candidates:
        return LearnedRows(task.start, task.token_map, {**report, "distilled": 0, "snippets": 0})
    snippets, count = mine(
        task.source.tokenizer, task.start.tokenizer, candidates, task.texts(),
        snippet_tokens=method.snippet_tokens, per_token=method.snippets,
    )  # fmt: skip
    ids = [row for row in candidates if count[row] >= method.min_snippets]
    report |= {"distilled": len(ids), "snippets": len(snippets)}
    if not ids:
        raise DataError(
            f"init_method=token_distillation: none of the {len(candidates)} new tokens is in "
            f"{method.min_snippets} snippets of the monolingual text; give more or other text, "
            "or lower init_method.min_snippets"
        )
    rows = NewRows(task.start, ids, head=method.cross_entropy)
    with isolated(task.trainer.threads):
        distillation = Distillation(
            FrozenModel(task.model, task.trainer), task.source, rows, method
        )
        report |= _train(distillation, snippets, task)
    return LearnedRows(rows.put(task.start), task.token_map, report)


def new_tokens(token_map: TokenMap) -> list[int]:
    """Ids of the pieces that are neither copied nor control tokens nor padding."""
    kinds = (int(Provenance.computed), int(Provenance.fallback))
    text = torch.tensor([key.startswith(b"text\x1f") for key in token_map.keys])
    made = (token_map.provenance == kinds[0]) | (token_map.provenance == kinds[1])
    found: list[int] = (made & text).nonzero().flatten().tolist()
    return found


def _train(distillation: Distillation, snippets: list[Snippet], task: LearnTask) -> dict[str, Any]:
    method = distillation.method
    per_epoch = math.ceil(len(snippets) / method.batch_size)
    schedule = TrainingConfig(
        steps=per_epoch * method.epochs, lr=method.lr, warmup=method.warmup,
        schedule=Schedule.linear, betas=[0.9, 0.999],
    )  # fmt: skip
    number = {token: place for place, token in enumerate(distillation.new.ids)}
    bos = task.source.tokenizer.bos_token_id

    def batches() -> Iterator[SnippetBatch]:
        for epoch in range(method.epochs):
            order = list(range(len(snippets)))
            random.Random(f"{task.seed}/{epoch}").shuffle(order)
            for start in range(0, len(order), method.batch_size):
                chosen = [snippets[place] for place in order[start : start + method.batch_size]]
                yield collate(chosen, number, bos).to(distillation.frozen.device)

    trained = [p for p in distillation.new.parameters() if p.requires_grad]
    return descend(trained, schedule, batches(), distillation.loss, task.loggers)
