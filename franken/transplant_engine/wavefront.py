"""``engine=wavefront``: one pass over the layers for all pairs."""

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
    from franken.inference.xtransplant.wavefront import run_wavefront


@option
class Wavefront(TransplantEngine):
    """One pass over the layers for all pairs; families with a pluggable attention function."""

    every_position: ClassVar[bool] = False

    def run(
        self, host: Host, task: Task, pairs: Sequence[Pair], intervention: Intervention,
        decoding: Decoding, options: Options | None = None,
    ) -> Runs:  # fmt: skip
        return run_wavefront(host, task, pairs, intervention, decoding, options or contract.PLAIN)

    def grid_layer_tokens(self, n: int, p: int, g: int) -> int:
        return 2 * n * p + n**2 * (n - 1) // 2 + n**3 * (g - 1)

    def column_layer_tokens(self, n: int, p: int, g: int) -> int:
        return 2 * n * p + n * (n - 1) + n**2 * (g - 1)
