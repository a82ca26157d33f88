"""The portable engine: the prompt's prefix once, then one batch of rows per target layer.

Needs only a hookable model and a key-value cache. ``N P + N (P - 1) + N^3 + N^3 (G - 1)`` layer
tokens for a grid: 2.6 % more than the least possible at N = 32, P = 300, G = 20.
"""

import copy
from collections.abc import Sequence
from contextlib import nullcontext

from torch import Tensor
from transformers import DynamicCache

from franken.inference.xtransplant.choices import Positions
from franken.inference.xtransplant.contract import (
    PLAIN,
    Clock,
    Decoding,
    Intervention,
    Options,
    Pair,
    Runs,
    Task,
)
from franken.inference.xtransplant.donors import donor_vectors
from franken.inference.xtransplant.greedy import Rows
from franken.inference.xtransplant.host import Change, Host
from franken.inference.xtransplant.naive import check_lengths, joined
from franken.inference.xtransplant.plan import Plan, plan_rows


def run_cache(
    host: Host,
    task: Task,
    pairs: Sequence[Pair],
    intervention: Intervention,
    decoding: Decoding,
    options: Options = PLAIN,
) -> Runs:
    """Answers for all pairs; tokens equal those of ``run_naive``.

    With ``positions=all`` no prefix is shared: the prompt runs once per pair, the donor once.
    """
    check_lengths(task, intervention)
    clock = Clock(host)
    vectors = donor_vectors(host, task.donor, intervention, decoding)
    plan = plan_rows(pairs, host.depth, task, intervention, decoding, share=options.share)
    prefix = prefill(host, task.target[:-1], intervention)
    parts: list[Runs] = []
    for target in sorted({j for _, j in plan.rows}):
        column = [pair for pair in plan.rows if pair[1] == target]
        rows = Rows([task] * len(column), decoding, host.device, keep_logits=options.keep_logits)
        _column(host, task, rows, prefix, vectors[:, [i for i, _ in column]], target, intervention)
        parts.append(rows.runs(column, range(len(column)), 0))
        if rows.solved:
            break
    return spread(joined(parts, clock.spent()), plan)


def prefill(host: Host, ids: Tensor, intervention: Intervention) -> DynamicCache:
    """Keys and values of a prompt's prefix; empty where nothing can be shared.

    Not the whole prompt cropped by one: a sliding-window cache that has overflowed cannot be.
    """
    cache = DynamicCache(config=host.config)
    if intervention.positions is Positions.last and len(ids):
        host.states(input_ids=ids.to(host.device)[None], past_key_values=cache)
    return cache


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


def spread(runs: Runs, plan: Plan) -> Runs:
    """Results of the rows that were run, for all pairs that were asked for."""
    row = {pair: number for number, pair in enumerate(runs.pairs)}
    asked = [(pair, row[own]) for pair, own in plan.answered_by.items() if own in row]
    found = runs.taken([at for _, at in asked])
    found.pairs = [pair for pair, _ in asked]
    found.cut = runs.cut or len(asked) < len(plan.answered_by)
    return found
