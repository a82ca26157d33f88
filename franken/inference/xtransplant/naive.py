"""The oracle: a hook, and for every pair a whole run of donor and target.

``h_j[p] := a_j[p] + f_i[q]`` while the first new token is computed, where f_i is what layer i's
feed-forward block gave at the donor's last position (paper).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from franken.errors import CompatibilityError
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


def run_naive(
    host: Host,
    task: Task,
    pairs: Sequence[Pair],
    intervention: Intervention,
    decoding: Decoding,
    options: Options = PLAIN,
) -> Runs:
    """Answers for all pairs: ``N^3 (2P + G - 1)`` layer tokens for a grid without early ends."""
    check_lengths(task, intervention)
    clock = Clock(host)
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
            change = change_of(vectors[step, source], what, whole=step == 0)
            with host.patched(target, what.site, change):
                states = host.states(input_ids=ids, past_key_values=cache)
        else:
            states = host.states(input_ids=ids, past_key_values=cache)
        ids = rows.push(host.last_logits(states))[:, None]
        step += 1


def change_of(vector: Tensor, what: Intervention, *, whole: bool) -> Change:
    """Combine ``(Q', D)`` donor vectors with all positions, or the last with the last."""

    def change(own: Tensor) -> Tensor:
        if whole and what.positions is Positions.all:
            return what.combine(own, vector)
        last = what.combine(own[:, -1:], vector[-1:])
        return torch.cat([own[:, :-1], last], dim=1)

    return change


def check_lengths(task: Task, what: Intervention) -> None:
    """``positions=all`` needs prompts that match position by position.

    Raises:
        CompatibilityError: for prompts of different lengths.
    """
    if what.positions is Positions.all and len(task.target) != len(task.donor.ids):
        raise CompatibilityError(
            f"positions=all needs donor and target prompts of equal length, found "
            f"{len(task.donor.ids)} and {len(task.target)} tokens; use positions=last or donor=self"
        )


def joined(parts: Sequence[Runs], layer_tokens: int) -> Runs:
    """Several results as one."""

    def cat(tensors: list[Tensor | None]) -> Tensor | None:
        given = [tensor for tensor in tensors if tensor is not None]
        return torch.cat(given) if given else None

    return Runs(
        [pair for part in parts for pair in part.pairs],
        [row for part in parts for row in part.tokens],
        torch.cat([part.margins for part in parts]),
        cat([part.first_logits for part in parts]),
        cat([part.watched for part in parts]),
        layer_tokens,
        sum(part.rows for part in parts),
        any(part.cut for part in parts),
        [done for part in parts for done in part.finished],
    )
