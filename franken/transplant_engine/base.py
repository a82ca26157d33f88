"""What every transplant engine says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from franken.declare import find

if TYPE_CHECKING:
    from franken.inference.xtransplant.contract import (
        Decoding,
        Intervention,
        Options,
        Pair,
        Runs,
        Task,
    )
    from franken.inference.xtransplant.host import Host


class TransplantEngine:
    """Computes the runs of pairs of layers; made without arguments, keeps no state.

    The closed forms count layer tokens of one sample: N layers, P prompt tokens on both sides, G
    new tokens, no early end, every row decoded.
    """

    name: str = ""
    is_oracle: ClassVar[bool] = False
    """Whether these are the runs that all other engines must equal."""
    every_position: ClassVar[bool] = True
    """Whether it can change all positions of a prompt (``positions=all``)."""

    def run(
        self, host: Host, task: Task, pairs: Sequence[Pair], intervention: Intervention,
        decoding: Decoding, options: Options | None = None,
    ) -> Runs:  # fmt: skip
        """Answers of one sample for all pairs.

        Raises:
            CompatibilityError: where the engine cannot serve the family or the intervention.
        """
        raise NotImplementedError

    def grid_layer_tokens(self, n: int, p: int, g: int) -> int:
        """The full grid of N x N pairs."""
        raise NotImplementedError

    def column_layer_tokens(self, n: int, p: int, g: int) -> int:
        """The N pairs with target layer 0 (TargetFirst)."""
        raise NotImplementedError


def engine_of(name: str) -> TransplantEngine:
    """The engine of a name.

    Raises:
        ConfigError: for an unknown one.
    """
    found: TransplantEngine = find("transplant_engine", name)()
    return found
