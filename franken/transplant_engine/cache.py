"""``engine=cache``, the portable one: the prompt's prefix once, one batch of rows per target layer.

Needs only a hookable model and a key-value cache. ``N P + N (P - 1) + N^3 + N^3 (G - 1)`` layer
tokens for a grid: 2.6 % more than the least possible at N = 32, P = 300, G = 20.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext

from franken.declare import option
from franken.lazy import later
from franken.transplant_engine.base import TransplantEngine

with later():
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
    from franken.inference.xtransplant.engine_parts import check_lengths, joined, prefill, spread
    from franken.inference.xtransplant.greedy import Rows
    from franken.inference.xtransplant.host import Change, Host
    from franken.inference.xtransplant.plan import plan_rows


@option
class Cache(TransplantEngine):
    """The prompt's prefix once, one batch per target layer; every family."""

    def run(
        self, host: Host, task: Task, pairs: Sequence[Pair], intervention: Intervention,
        decoding: Decoding, options: Options | None = None,
    ) -> Runs:  # fmt: skip
        """Answers for all pairs; tokens equal those of ``naive``.

        With ``positions=all`` no prefix is shared: the prompt runs once per pair, the donor once.
        """
        options = options or contract.PLAIN
        check_lengths(task, intervention)
        clock = contract.Clock(host)
        vectors = donor_vectors(host, task.donor, intervention, decoding)
        plan = plan_rows(pairs, host.depth, task, intervention, decoding, share=options.share)
        prefix = prefill(host, task.target[:-1], intervention)
        parts: list[Runs] = []
        for target in sorted({j for _, j in plan.rows}):
            column = [pair for pair in plan.rows if pair[1] == target]
            rows = Rows(
                [task] * len(column), decoding, host.device, keep_logits=options.keep_logits
            )
            _column(
                host, task, rows, prefix, vectors[:, [i for i, _ in column]], target, intervention
            )
            parts.append(rows.runs(column, range(len(column)), 0))
            if rows.solved:
                break
        return spread(joined(parts, clock.spent()), plan)

    def grid_layer_tokens(self, n: int, p: int, g: int) -> int:
        return n * p + n * (p - 1) + n**3 + n**3 * (g - 1)

    def column_layer_tokens(self, n: int, p: int, g: int) -> int:
        return n * p + n * (p - 1) + n**2 + n**2 * (g - 1)


def _column(
    host: Host,
    task: Task,
    rows: Rows,
    prefix: DynamicCache,
    vectors: Tensor,
    target: int,
    what: Intervention,
) -> None:
    """All rows of one target layer; ``vectors`` is ``(T, R, Q', D)``."""
    everywhere = what.positions is Positions.all
    cache = copy.deepcopy(prefix)
    if cache.get_seq_length():
        cache.batch_repeat_interleave(rows.count)
    ids = task.target.to(host.device) if everywhere else task.target[-1:].to(host.device)
    ids = ids[None].expand(rows.count, -1)
    step = 0
    while rows.going():
        patch = nullcontext()
        if step < len(vectors):
            own = vectors[step] if everywhere and step == 0 else vectors[step][:, -1:]
            patch = host.patched(target, what.site, _change(own, what))  # type: ignore[assignment]
        with patch:
            states = host.states(input_ids=ids, past_key_values=cache)
        ids = rows.push(host.last_logits(states))[:, None]
        step += 1


def _change(vectors: Tensor, what: Intervention) -> Change:
    return lambda own: what.combine(own, vectors)
