"""Batches of rows that are few enough to be numbered, in a shuffled order with a position."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from franken.data.shuffle import EndlessOrder
from franken.errors import CompatibilityError
from franken.files import hash_json
from franken.seeds import derive_seed


class Rows(Protocol):
    """A data module that makes batches of numbered rows."""

    seed: int

    @property
    def rows(self) -> int:
        """Rows of a forward pass."""
        ...

    def batch_of(self, numbers: Sequence[int]) -> dict[str, Any]:
        """The batch of these rows."""
        ...

    def fingerprint(self) -> str:
        """Hash of what all rows hold."""
        ...


class RowLoader:
    """Batches without end, every row once per epoch; owns its position."""

    def __init__(self, data: Rows, count: int, name: str) -> None:
        """Args: the data module, how many rows there are, and what draws their order."""
        self.data, self.count = data, count
        self.batches = 0
        self._order = EndlessOrder(count, derive_seed(data.seed, name))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """From the current position on."""
        rows = self.data.rows
        while True:
            start = self.batches * rows
            self.batches += 1
            yield self.data.batch_of([self._order[start + row] for row in range(rows)])

    def state_dict(self) -> dict[str, Any]:
        """The position, as plain values."""
        return {"plan": self._plan(), "batches": self.batches}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where another loader of the same rows stood.

        Raises:
            CompatibilityError: if the state belongs to other rows, seed or batch shape.
        """
        if state["plan"] != self._plan():
            raise CompatibilityError(
                "the saved position belongs to other pairs or labelled texts, another seed or "
                "batch shape than this run; start the training step anew"
            )
        self.batches = int(state["batches"])

    def _plan(self) -> str:
        return hash_json([self.data.fingerprint(), self.data.seed, self.data.rows])
