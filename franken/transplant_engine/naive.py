"""``engine=naive``: hooks, one run per pair; what the other engines must equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from franken.declare import option
from franken.lazy import later
from franken.transplant_engine.base import TransplantEngine

with later():
    from franken.inference.xtransplant import contract
    from franken.inference.xtransplant.contract import (
        Decoding,
        Intervention,
        Options,
        Pair,
        Runs,
        Task,
    )
    from franken.inference.xtransplant.host import Host
    from franken.inference.xtransplant.naive import run_naive


@option
class Naive(TransplantEngine):
    """Hooks, one run per pair."""

    is_oracle: ClassVar[bool] = True

    def run(
        self, host: Host, task: Task, pairs: Sequence[Pair], intervention: Intervention,
        decoding: Decoding, options: Options | None = None,
    ) -> Runs:  # fmt: skip
        return run_naive(host, task, pairs, intervention, decoding, options or contract.PLAIN)

    def grid_layer_tokens(self, n: int, p: int, g: int) -> int:
        return n**3 * (2 * p + g - 1)

    def column_layer_tokens(self, n: int, p: int, g: int) -> int:
        return n**2 * (2 * p + g - 1)
