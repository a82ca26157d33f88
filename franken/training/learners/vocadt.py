"""VocADT: train the weights of the map under a frozen model, then fold them (arXiv 2410.09644).

``E_n = W E_o`` and ``O_n = W' O_o`` with everything but W and W' fixed; loss = language-modelling
loss + ``alpha * mean over shared v of |W_v E_o - E_o,v|^2`` (the exact form is not published; this
is the reading of the reviews). Control tokens keep their one-hot rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from franken.init_method import Provenance, TokenMap, apply_map, apply_to_bias
from franken.parts.table import Table
from franken.training.batches import StepFeed, next_tokens, to_device
from franken.training.environment import isolated
from franken.training.frozen import FrozenModel, descend
from franken.training.learners import LearnedRows, LearnTask

if TYPE_CHECKING:
    from franken.init_method.vocadt import VocadtInit


class MapAdapter:
    """A map whose weights train; one set of them, or one each for input and output."""

    def __init__(
        self,
        token_map: TokenMap,
        source: Table,
        start: Table,
        *,
        separate: bool,
        device: torch.device | str = "cpu",
    ) -> None:
        """Copy the weights into parameters.

        Args:
            token_map: start, with the support that trains.
            source: ``(S, D)`` rows; stay fixed.
            start: the map's table: rows without weights are taken from it.
            separate: whether the output embeddings have weights of their own.
            device: where everything lies.
        """
        special = token_map.provenance == int(Provenance.special)
        of_row = torch.repeat_interleave(torch.arange(token_map.rows), token_map.sizes())
        self._fixed = special[of_row].to(device)
        self._indices = token_map.indices.long().to(device)
        self._offsets = token_map.indptr.to(device)
        self._empty = (token_map.sizes() == 0)[:, None].to(device)
        self._source = _wide(source, device)
        self._start = _wide(start, device)
        shared = (token_map.provenance == int(Provenance.copied)).nonzero().flatten()
        self._shared = shared.to(device)
        self._partners = token_map.indices[token_map.indptr[shared]].long().to(device)
        self._initial = {"input": token_map.weights.to(device)}
        if separate:
            self._initial["output"] = token_map.weights_of("output").to(device)
        self._trained = {
            side: nn.Parameter(weights.clone()) for side, weights in self._initial.items()
        }

    @property
    def parts(self) -> list[str]:
        """Tensors of the table: input, output, output_bias."""
        return list(self._source)

    def parameters(self) -> list[nn.Parameter]:
        """The weights: of the input, and of the output where it has its own."""
        return list(self._trained.values())

    def values(self, part: str) -> Tensor:
        """``(nnz,)`` weights for a part, control tokens' untouched."""
        side = "input" if part == "input" or "output" not in self._trained else "output"
        return torch.where(self._fixed, self._initial[side], self._trained[side])

    def rows(self, part: str) -> Tensor:
        """``(T, D)`` float32 rows of ``input``, ``output`` or ``output_bias`` (D = 1)."""
        made = embedding_bag(
            self._indices,
            self._source[part],
            self._offsets,
            mode="sum",
            per_sample_weights=self.values(part),
            include_last_offset=True,
        )
        return torch.where(self._empty, self._start[part], made)

    def drift(self, part: str, rows: Tensor) -> Tensor:
        """Mean squared distance of shared pieces from their source rows."""
        if not len(self._shared):
            return rows.new_zeros(())
        wanted = self._source[part][self._partners]
        distance: Tensor = (rows[self._shared] - wanted).square().sum(dim=1).mean()
        return distance

    def trained_map(self, token_map: TokenMap) -> TokenMap:
        """The map with the weights as they are; shared rows that moved are computed ones."""
        found = {side: self.values(side).detach().cpu().clone() for side in self._trained}
        of_row = torch.repeat_interleave(torch.arange(token_map.rows), token_map.sizes())
        moved = torch.zeros(token_map.rows, dtype=torch.bool)
        for side, weights in found.items():
            moved[of_row[weights != token_map.weights_of(side)]] = True
        provenance = token_map.provenance.clone()
        provenance[moved & (provenance == int(Provenance.copied))] = int(Provenance.computed)
        notes = {**token_map.notes, "moved_rows": int(moved.sum())}
        return replace(
            token_map, weights=found["input"], output_weights=found.get("output"),
            provenance=provenance, notes=notes,
        )  # fmt: skip


def learn(task: LearnTask, method: VocadtInit) -> LearnedRows:
    """Train W, then make the table with the engine."""
    separate = task.source.output is not None and not method.tie_in_out
    frozen = FrozenModel(task.model, task.trainer)
    adapter = MapAdapter(
        task.token_map, task.source, task.start, separate=separate, device=frozen.device
    )
    with isolated(task.trainer.threads):
        report = _train(adapter, frozen, task, method)
    token_map = adapter.trained_map(task.token_map)
    return LearnedRows(fold(token_map, task.source, task.start), token_map, report)


def adapter_loss(
    adapter: MapAdapter, frozen: FrozenModel, batch: dict[str, Any], method: VocadtInit
) -> Tensor:
    """One pass's share of the step's loss; the auxiliary loss counts once per pass."""
    schedule = method.training
    rows = adapter.rows("input")
    untied = "output" in adapter.parts
    head = adapter.rows("output") if untied else rows
    bias = adapter.rows("output_bias")[:, 0] if "output_bias" in adapter.parts else None
    across = schedule.pack_across_documents
    segments, positions = batch["segment_ids"], batch["position_ids"]
    if across:
        segments = (segments > 0).long()
        positions = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    states = frozen.states(frozen.embed(rows, batch["input_ids"]), segments, positions)
    labels = next_tokens(batch, across_documents=across).flatten()
    nats = frozen.loss(states[:, :-1].flatten(0, 1), head, labels, bias, schedule.loss_chunk_tokens)
    loss: Tensor = nats * batch["loss_weight"]
    if method.aux_alpha:
        drift = adapter.drift("input", rows)
        if untied:
            drift = drift + adapter.drift("output", head)
        loss = loss + method.aux_alpha * drift / schedule.accumulate
    return loss


def fold(token_map: TokenMap, source: Table, start: Table) -> Table:
    """The table of a trained map, in the source's dtype."""
    output = None if source.output is None else apply_map(token_map, source.output, part="output")
    bias = None if source.output_bias is None else apply_to_bias(token_map, source.output_bias)
    return replace(start, input=apply_map(token_map, source.input), output=output, output_bias=bias)


def _wide(table: Table, device: torch.device | str) -> dict[str, Tensor]:
    """The tensors of a table as float32 matrices."""
    wide = {part: tensor.float().to(device) for part, tensor in table.matrices().items()}
    return {part: rows if rows.ndim == 2 else rows[:, None] for part, rows in wide.items()}


def _train(
    adapter: MapAdapter, frozen: FrozenModel, task: LearnTask, method: VocadtInit
) -> dict[str, Any]:
    schedule = method.training
    module = task.data(schedule)
    module.prepare_data()
    module.setup("fit")
    feed = StepFeed(
        module,
        steps=schedule.steps,
        accumulate=schedule.accumulate,
        across_documents=schedule.pack_across_documents,
    )
    report = descend(
        adapter.parameters(),
        schedule,
        (to_device(batch, frozen.device) for batch in feed),
        lambda batch: adapter_loss(adapter, frozen, batch, method),
        task.loggers,
    )
    return {"what": "weights", **report, "weights": sum(p.numel() for p in adapter.parameters())}
