"""``engine=cache``: the prompt's prefix once, one batch per target layer."""

from __future__ import annotations

from collections.abc import Sequence

from franken.declare import option
from franken.lazy import later
from franken.transplant_engine.base import TransplantEngine

with later():
    from franken.inference.xtransplant import contract
    from franken.inference.xtransplant.cache import run_cache
    from franken.inference.xtransplant.contract import (
        Decoding,
        Intervention,
        Options,
        Pair,
        Runs,
        Task,
    )
    from franken.inference.xtransplant.host import Host


@option
class Cache(TransplantEngine):
    """The prompt's prefix once, one batch per target layer; every family."""

    def run(
        self, host: Host, task: Task, pairs: Sequence[Pair], intervention: Intervention,
        decoding: Decoding, options: Options | None = None,
    ) -> Runs:  # fmt: skip
        return run_cache(host, task, pairs, intervention, decoding, options or contract.PLAIN)

    def grid_layer_tokens(self, n: int, p: int, g: int) -> int:
        return n * p + n * (p - 1) + n**3 + n**3 * (g - 1)

    def column_layer_tokens(self, n: int, p: int, g: int) -> int:
        return n * p + n * (p - 1) + n**2 + n**2 * (g - 1)
