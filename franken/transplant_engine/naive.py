"""``engine=naive``, the oracle: a hook, and for every pair a whole run of donor and target.

``h_j[p] := a_j[p] + f_i[q]`` while the first new token is computed, where f_i is what layer i's
feed-forward block gave at the donor's last position (paper).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from franken.declare import option
from franken.lazy import later
from franken.transplant_engine.base import TransplantEngine

with later():
    import torch
    from torch import Tensor
    from transformers import DynamicCache

    from franken.inference.xtransplant import contract
    from franken.inference.xtransplant.choices import Positions
    from franken.inference.xtransplant.contract import (
        Decoding,
        Intervention,
        Options,
        Pair,
        Runs,
        Task,
    )
    from franken.inference.xtransplant.donors import donor_vectors
    from franken.inference.xtransplant.engine_parts import check_lengths, joined
    from franken.inference.xtransplant.greedy import Rows
    from franken.inference.xtransplant.host import Change, Host


@option
class Naive(TransplantEngine):
    """Hooks, one run per pair."""

    is_oracle: ClassVar[bool] = True

    def run(
        self, host: Host, task: Task, pairs: Sequence[Pair], intervention: Intervention,
        decoding: Decoding, options: Options | None = None,
    ) -> Runs:  # fmt: skip
        """Answers of one sample: for every pair a whole run of donor and target."""
        options = options or contract.PLAIN
        check_lengths(task, intervention)
        clock = contract.Clock(host)
        parts = []
        for source, target in pairs:
            vectors = donor_vectors(host, task.donor, intervention, decoding)
            rows = Rows([task], decoding, host.device, keep_logits=options.keep_logits)
            _answer(host, task, rows, vectors, source, target, intervention)
            parts.append(rows.runs([(source, target)], [0], 0))
            if rows.solved:
                break
        runs = joined(parts, clock.spent())
        runs.cut = len(parts) < len(pairs)
        return runs

    def grid_layer_tokens(self, n: int, p: int, g: int) -> int:
        return n**3 * (2 * p + g - 1)

    def column_layer_tokens(self, n: int, p: int, g: int) -> int:
        return n**2 * (2 * p + g - 1)


def _answer(
    host: Host,
    task: Task,
    rows: Rows,
    vectors: Tensor,
    source: int,
    target: int,
    what: Intervention,
) -> None:
    ids = task.target.to(host.device)[None]
    cache = DynamicCache(config=host.config)
    step = 0
    while rows.going():
        if step < len(vectors):
            change = _change(vectors[step, source], what, whole=step == 0)
            with host.patched(target, what.site, change):
                states = host.states(input_ids=ids, past_key_values=cache)
        else:
            states = host.states(input_ids=ids, past_key_values=cache)
        ids = rows.push(host.last_logits(states))[:, None]
        step += 1


def _change(vector: Tensor, what: Intervention, *, whole: bool) -> Change:
    """Combine ``(Q', D)`` donor vectors with all positions, or the last with the last."""

    def change(own: Tensor) -> Tensor:
        if whole and what.positions is Positions.all:
            return what.combine(own, vector)
        last = what.combine(own[:, -1:], vector[-1:])
        return torch.cat([own[:, :-1], last], dim=1)

    return change
