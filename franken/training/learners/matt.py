"""MATT: rows under which heads take from each stretch what they took in the old pieces.

Both sides are the frozen model; the teacher reads the old pieces, the student the new ones. Of
every pair of stretches of equal bytes, the influence of the one on the other, head by head, shall
be the same at one layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from franken.distillation.common.pairing import Pairing
from franken.errors import DataError
from franken.init_method import Provenance
from franken.parts.table import Table
from franken.training.batches import StepFeed, to_device
from franken.training.environment import isolated
from franken.training.frozen import FrozenModel, descend
from franken.training.influence import attended, influences
from franken.training.learners import LearnedRows, LearnTask
from franken.training.learners.token_distillation import NewRows, new_tokens

if TYPE_CHECKING:
    from franken.init_method.matt import MattInit


class Matching:
    """Teacher and student in one frozen model."""

    def __init__(
        self, frozen: FrozenModel, source: Table, start: Table, rows: NewRows, method: MattInit
    ) -> None:
        self.frozen, self.new, self.method = frozen, rows.to(frozen.device), method
        self._old, self._start = (side.input.float().to(frozen.device) for side in (source, start))
        self._place = torch.full((start.rows,), -1, device=frozen.device)
        self._place[rows.ids] = torch.arange(len(rows.ids), device=frozen.device)
        depth = int(frozen.model.config.get_text_config().num_hidden_layers)
        self.layer = max(0, min(depth, round(method.layer * depth)) - 1)

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The mean over a paired batch's pairs of stretches, and heads."""
        with torch.no_grad():
            embedded = self.frozen.embed(self._old, batch["teacher_ids"])
            wanted = attended(self.frozen, embedded, batch["teacher_segments"], self.layer)
        ids = batch["input_ids"]
        place = self._place[ids]
        embedded = torch.where(
            (place >= 0)[..., None],
            self.frozen.embed(self.new.input, place.clamp(min=0)),
            self.frozen.embed(self._start, ids),
        )
        found = attended(self.frozen, embedded, batch["segment_ids"], self.layer)
        total, count = embedded.new_zeros(()), 0
        for row in range(len(ids)):
            if not bool((batch["chunks"][row] >= 0).any()):
                continue
            goal, own = (
                influences(side.weights[row], side.values[row], chunks[row])
                for side, chunks in ((wanted, batch["teacher_chunks"]), (found, batch["chunks"]))
            )
            pairs = _pairs(batch["chunks"][row], batch["segment_ids"][row])
            distance, size = self._distance(own, goal, pairs)
            total, count = total + distance, count + size
        return total / max(1, count)

    def _distance(self, own: Tensor, goal: Tensor, pairs: Tensor) -> tuple[Tensor, int]:
        """Summed over pairs and heads, and of how many numbers it is the sum."""
        if self.method.variant == "star":
            own, goal = own.sum(2), goal.sum(2)
        else:
            own, goal = own[:, pairs], goal[:, pairs]
        if self.method.distance == "cosine":
            return (1 - cosine_similarity(own, goal, dim=-1)).sum(), own[..., 0].numel()
        return (own - goal).square().sum(), own.numel()


def _pairs(chunks: Tensor, segments: Tensor) -> Tensor:
    """``(C, C)`` bool: stretch j lies in the past of i, itself among it, in one document."""
    inside = chunks >= 0
    numbers, owner = chunks[inside].unique(return_inverse=True)
    document = torch.zeros_like(numbers).scatter(0, owner, segments[inside])
    return (document[:, None] == document).tril()


def learn(task: LearnTask, method: MattInit) -> LearnedRows:
    """Train the input rows of the new tokens, or of all that are text.

    Raises:
        DataError: where both vocabularies have the same pieces, so that none is new.
    """
    ids = new_tokens(task.token_map)
    if method.overlap:
        shared = task.token_map.provenance == int(Provenance.copied)
        ids = sorted({*ids, *shared.nonzero().flatten().tolist()})
    if not ids:
        raise DataError(
            "init_method=matt: no token is new, so there are no rows to train; choose a vocabulary "
            "with new pieces, or init_method.overlap=true"
        )
    rows = NewRows(task.start, ids, head=False)
    frozen = FrozenModel(task.model, task.trainer)
    matching = Matching(frozen, task.source, task.start, rows, method)
    pairing = Pairing(task.start.tokenizer, task.source.tokenizer, predicted=not method.keep_first)
    schedule = method.training
    module = task.data(schedule)
    module.prepare_data()
    module.setup("fit")
    feed = StepFeed(
        module, steps=schedule.steps, accumulate=schedule.accumulate, across_documents=False,
        prepare=lambda batch, step, part: pairing.pair(batch),
    )  # fmt: skip
    with isolated(task.trainer.threads):
        report = descend(
            [rows.input], schedule, (to_device(batch, frozen.device) for batch in feed),
            lambda batch: matching.loss(batch) / schedule.accumulate, task.loggers,
        )  # fmt: skip
    report = {"what": "new rows", "rows": len(ids), "layer": matching.layer, **report}
    return LearnedRows(rows.put(task.start), task.token_map, report)
