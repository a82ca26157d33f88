"""From a data module's batches to the micro-batches of optimiser steps, with a position to resume.

A batch is a dict of ``(B, L)`` int64 tensors: ``input_ids``, ``labels`` (-100 ignored, not
shifted), ``position_ids`` and ``segment_ids`` (documents from 1, padding 0).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from franken.errors import ConfigError, DataError
from franken.training.loss import IGNORED

Batch = dict[str, Any]
PAIRS = "pairs"
"""Key of a batch under which the sentence pairs of its step are."""


class PairSteps(Protocol):
    """Which steps read sentence pairs, and which pairs."""

    @property
    def alone(self) -> bool:
        """Whether such a step reads no text."""
        ...

    def due(self, step: int) -> bool:
        """Whether the step of this number, from 0, is one."""
        ...

    def parts_of(self, step: int, accumulate: int) -> list[Batch]:
        """The pairs of its forward passes."""
        ...


def next_tokens(batch: Batch, *, across_documents: bool) -> Tensor:
    """``(B, L - 1)`` targets: position ``i`` predicts label ``i + 1`` of its own document."""
    labels, segments = batch["labels"], batch["segment_ids"]
    targets: Tensor = labels[:, 1:]
    if across_documents:
        return targets
    return targets.masked_fill(segments[:, 1:] != segments[:, :-1], IGNORED)


def count_targets(batch: Batch, *, across_documents: bool) -> int:
    """Positions of a batch that count in the loss."""
    targets = next_tokens(batch, across_documents=across_documents)
    return int((targets != IGNORED).sum())


def count_labels(batch: Batch) -> int:
    """What is to be told of a batch: hidden tokens, or labels of texts or words."""
    return int((batch["labels"] != IGNORED).sum())


def rows_of_rank(batch: Batch, rank: int, world_size: int) -> Batch:
    """Every ``world_size``-th sequence, from ``rank``.

    Processes read the same batches and share their rows, so that neither the order of the data nor
    the position depends on their number.
    """
    if world_size == 1:
        return batch
    rows = batch["input_ids"].shape[0]
    if rows < world_size:
        raise ConfigError(
            f"a forward pass holds {rows} sequences, fewer than the {world_size} processes that "
            "share it; raise training.batch_size or lower training.accumulate"
        )
    return {k: v[rank::world_size] if isinstance(v, Tensor) else v for k, v in batch.items()}


def padded_rows(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """``(B, L)`` rows filled up with 0 on the right, and 1 where they have something."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
    filled = torch.zeros_like(ids)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = torch.tensor(row, dtype=torch.int64)
        filled[at, : len(row)] = 1
    return ids, filled


def completed(batch: Batch) -> Batch:
    """A batch with all that training reads; what is there stays as it is.

    Without ``segment_ids`` a row is one document, as far as ``attention_mask`` says (all of it by
    default); without ``labels`` every token of it is predicted.

    Raises:
        DataError: where there are no ``input_ids``.
    """
    if "input_ids" not in batch:
        raise DataError(
            f"a batch holds {', '.join(map(str, batch)) or 'nothing'}; training reads input_ids, a "
            "(B, L) tensor of token ids"
        )
    ids: Tensor = batch["input_ids"]
    if "segment_ids" not in batch:
        mask = batch.get("attention_mask")
        batch = {**batch, "segment_ids": torch.ones_like(ids) if mask is None else mask.long()}
    if "position_ids" not in batch:
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        batch = {**batch, "position_ids": places}
    if "labels" not in batch:
        batch = {**batch, "labels": ids.masked_fill(batch["segment_ids"] == 0, IGNORED)}
    return batch


class StepFeed:
    """Batches of the optimiser steps still to do, ``accumulate`` to a step.

    Every batch carries ``loss_weight``, 1 over the step's counted positions (or what ``count``
    finds in a batch), so that the summed loss of all its parts is the mean over the step whatever
    the parts' sizes, ``real_tokens``, its tokens without padding (before processes share its
    rows), and their ``text_bytes`` where the data module knows what each token stands for. The
    length is known, therefore Lightning fetches no batch ahead and :meth:`state_dict` is the exact
    position.
    """

    def __init__(
        self,
        datamodule: Any,
        *,
        steps: int,
        accumulate: int,
        across_documents: bool,
        state: dict[str, Any] | None = None,
        count: Callable[[Batch], int] | None = None,
        prepare: Callable[[Batch, int, int], Batch] | None = None,
        pairs: PairSteps | None = None,
        first_step: int = 0,
    ) -> None:
        # prepare: what is done to a batch before its positions are counted (hiding tokens), told
        # the number of its step, of those still to do, and its part
        # pairs: steps that read sentence pairs, under the batch's key ``pairs``; numbered from
        # ``first_step``
        self.pairs, self.first_step = pairs, first_step
        self.datamodule = datamodule
        self.count = count or partial(count_targets, across_documents=across_documents)
        self.steps, self.accumulate, self.prepare = steps, accumulate, prepare
        if state is not None:
            datamodule.load_state_dict(state["datamodule"])
        self.loader = datamodule.train_dataloader()
        sizes = getattr(datamodule, "text_bytes", None)
        self.sizes = None if sizes is None else torch.as_tensor(sizes)
        self._own_state = hasattr(self.loader, "state_dict")
        if state is not None and self._own_state:
            self.loader.load_state_dict(state["loader"])

    def __len__(self) -> int:
        return self.steps * self.accumulate

    def state_dict(self) -> dict[str, Any]:
        """Position after the batches handed out so far."""
        own = self.loader.state_dict() if self._own_state else {}
        return {"datamodule": self.datamodule.state_dict(), "loader": own}

    def __iter__(self) -> Iterator[Batch]:
        source = self._endless()
        for step in range(self.steps):
            pairs = self._pairs(self.first_step + step)
            if self.pairs is not None and pairs and self.pairs.alone:
                for pair in pairs:
                    real = int((pair["segment_ids"] > 0).sum())
                    yield {PAIRS: pair, "loss_weight": 0.0, "real_tokens": real}
                continue
            parts = [completed(next(source)) for _ in range(self.accumulate)]
            sizes = [None if self.sizes is None else self._text_bytes(part) for part in parts]
            if self.prepare is not None:
                parts = [self.prepare(part, step, at) for at, part in enumerate(parts)]
            counted = sum(map(self.count, parts))
            for at, (part, size) in enumerate(zip(parts, sizes, strict=True)):
                read = {} if size is None else {"text_bytes": size}
                yield {
                    **part,
                    **read,
                    **({PAIRS: pairs[at]} if pairs else {}),
                    "loss_weight": 1.0 / counted if counted else 0.0,
                    "real_tokens": int((part["segment_ids"] > 0).sum()),
                }

    def _pairs(self, step: int) -> list[Batch]:
        if self.pairs is None or not self.pairs.due(step):
            return []
        return self.pairs.parts_of(step, self.accumulate)

    def _text_bytes(self, batch: Batch) -> int:
        """Bytes of text in a batch, tokens that sequences repeat included."""
        assert self.sizes is not None
        return int(self.sizes[batch["input_ids"][batch["segment_ids"] > 0]].sum())

    def _endless(self) -> Iterator[Batch]:
        empty_rounds = 0
        while empty_rounds < 2:  # a loader resumed at its very end gives one empty round
            empty_rounds += 1
            for batch in self.loader:
                empty_rounds = 0
                yield batch
        raise DataError(
            "the training loader gives no batch: the training texts are empty or shorter than one "
            "batch; check data and training.batch_size"
        )


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch's tensors."""
    return {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}
