"""The loader: batches of packed sequences at a position it owns and can be set back to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from franken.data.collate import Silence, collate
from franken.data.mixing import StreamKey
from franken.data.packing import Cursor, Packer, Piece
from franken.errors import CompatibilityError, ConfigError
from franken.files import hash_json
from franken.seeds import derive_seed

Sequences = list[tuple[int, list[Piece]]]
"""Planned sequences: number of the stream, and the pieces read from it."""


@dataclass(frozen=True)
class BatchShape:
    """How an optimiser step is cut into batches."""

    sequences: int
    """Sequences per optimiser step, over all ranks."""
    length: int
    """Tokens per sequence."""
    accumulate: int = 1
    """Batches per optimiser step."""
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.sequences % (self.accumulate * self.world_size):
            raise ConfigError(
                f"batch_size={self.sequences} cannot be split over accumulate={self.accumulate} "
                f"batches on {self.world_size} devices; choose a multiple of "
                f"{self.accumulate * self.world_size}"
            )

    @property
    def rows(self) -> int:
        """Sequences per batch and rank."""
        return self.sequences // (self.accumulate * self.world_size)

    def mine(self, batch: int) -> slice:
        """The sequences of a step that this rank sees in its ``batch``-th forward pass."""
        start = (batch * self.world_size + self.rank) * self.rows
        return slice(start, start + self.rows)


class Planner:
    """Decides which records make up an optimiser step.

    The streams of step ``s`` are a function of the seed and ``s`` alone, the records a function of
    the cursors. All ranks plan the whole step, which costs a few look-ups per sequence, and read
    only their own part of it: a run sees the same data on any number of devices.
    """

    def __init__(
        self,
        packers: Mapping[StreamKey, Packer],
        probabilities: Mapping[StreamKey, float],
        sequences: int,
        seed: int,
        silence: Silence | None = None,
    ) -> None:
        """Args: see below.

        Args:
            packers: the streams.
            probabilities: of each.
            sequences: per step.
            seed: of the draws.
            silence: as of ``collate``.
        """
        self.keys = sorted(key for key in packers if probabilities[key] > 0)
        self.packers = [packers[key] for key in self.keys]
        self.sequences = sequences
        self.seed = seed
        self.silence = silence
        weights = np.array([probabilities[key] for key in self.keys], dtype=np.float64)
        self._bounds = np.cumsum(weights / weights.sum())

    def identity(self) -> str:
        """Hash of everything a position depends on; positions of another plan are refused."""
        streams = [
            [str(key), packer.length, packer.whole, packer.seed, packer.corpus.meta]
            for key, packer in zip(self.keys, self.packers, strict=True)
        ]
        bounds = [float(bound) for bound in self._bounds]
        return hash_json([streams, bounds, self.sequences, self.seed])

    def start(self) -> list[Cursor]:
        """All streams at their beginning."""
        return [Cursor() for _ in self.packers]

    def streams(self, step: int) -> list[int]:
        """Stream of each sequence of a step.

        Systematic sampling: every stream gets its share of each step up to rounding, without bias.
        """
        key = [np.uint64(derive_seed(self.seed, "streams")), np.uint64(step)]
        random = np.random.Generator(np.random.Philox(key=np.array(key)))
        points = (np.arange(self.sequences) + random.random()) / self.sequences
        chosen = np.searchsorted(self._bounds, points, side="right")
        chosen = np.minimum(chosen, len(self.keys) - 1)
        numbers: list[int] = chosen[random.permutation(self.sequences)].tolist()
        return numbers

    def plan(self, step: int, cursors: Sequence[Cursor]) -> tuple[Sequences, list[Cursor]]:
        """The sequences of a step, and the cursors after it."""
        after = list(cursors)
        planned: Sequences = []
        for stream in self.streams(step):
            pieces, after[stream] = self.packers[stream].take(after[stream])
            planned.append((stream, pieces))
        return planned, after

    def batch(self, planned: Sequences, length: int, pad: int) -> dict[str, Tensor]:
        """The tensors of some planned sequences."""
        rows = [(self.packers[stream].corpus.tokens, pieces) for stream, pieces in planned]
        return collate(rows, length, pad, self.silence)


class PackedLoader:
    """An endless stream of batches, handed out in epochs of ``steps`` optimiser steps.

    ``state_dict`` describes the batches handed out so far; a loader that loads it continues with
    exactly the next one, in the middle of an accumulation too.
    """

    def __init__(self, planner: Planner, shape: BatchShape, steps: int, pad: int) -> None:
        """Args: the ``planner``, the batch ``shape``, ``steps`` per epoch, and the ``pad`` id."""
        self.planner = planner
        self.shape = shape
        self.steps = steps
        self.pad = pad
        self.batches = 0
        self._before: list[Cursor] = planner.start()
        self._after: list[Cursor] = self._before
        self._planned: Sequences | None = None

    def __len__(self) -> int:
        """Batches per epoch."""
        return self.steps * self.shape.accumulate

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """The rest of the current epoch, or a new one if it is over."""
        for _ in range(len(self) - self.batches % len(self)):
            yield self.next_batch()

    def next_batch(self) -> dict[str, Tensor]:
        """The batch at the current position; moves on."""
        step, batch = divmod(self.batches, self.shape.accumulate)
        if batch == 0:
            self._before, self._planned = self._after, None
        if self._planned is None:
            self._planned, self._after = self.planner.plan(step, self._before)
        self.batches += 1
        mine = self._planned[self.shape.mine(batch)]
        return self.planner.batch(mine, self.shape.length, self.pad)

    def state_dict(self) -> dict[str, Any]:
        """The position, as plain JSON values."""
        at_border = self.batches % self.shape.accumulate == 0
        return {
            "plan": self.planner.identity(),
            "accumulate": self.shape.accumulate,
            "batches": self.batches,
            "cursors": [list(cursor) for cursor in (self._after if at_border else self._before)],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where another loader of the same plan stood.

        Raises:
            CompatibilityError: If the state belongs to other data, shares, seed or batch shape.
        """
        saved, ours = (
            (state["plan"], state["accumulate"]),
            (self.planner.identity(), self.shape.accumulate),
        )
        if saved != ours:
            raise CompatibilityError(
                "the saved loader position belongs to other data, mixture, tokenizer, seed or "
                f"batch shape than this run: plan {saved[0]} in {saved[1]} batches a step, here "
                f"{ours[0]} in {ours[1]}; start the training step anew"
            )
        self.batches = int(state["batches"])
        cursors = [Cursor(*map(int, cursor)) for cursor in state["cursors"]]
        self._before = self._after = cursors
        self._planned = None


class FixedBatches:
    """The first ``count`` batches of a plan, the same at every pass: validation."""

    def __init__(self, planner: Planner, shape: BatchShape, count: int, pad: int) -> None:
        """Args: the ``planner``, the batch ``shape``, how many batches, and the ``pad`` id."""
        self.planner = planner
        self.shape = shape
        self.count = count
        self.pad = pad

    def __len__(self) -> int:
        """Batches per pass."""
        return self.count

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """The batches from the start."""
        loader = PackedLoader(self.planner, self.shape, self.count, self.pad)
        for _ in range(self.count):
            yield loader.next_batch()
