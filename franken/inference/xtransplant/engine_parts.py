"""What ways to compute runs share: a prompt's prefix, checks of lengths, results put together."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from franken.errors import CompatibilityError
from franken.inference.xtransplant.choices import Positions
from franken.inference.xtransplant.contract import Intervention, Runs, Task
from franken.inference.xtransplant.host import Host
from franken.inference.xtransplant.plan import Plan


def prefill(host: Host, ids: Tensor, intervention: Intervention) -> DynamicCache:
    """Keys and values of a prompt's prefix; empty where nothing can be shared.

    Not the whole prompt cropped by one: a sliding-window cache that has overflowed cannot be.
    """
    cache = DynamicCache(config=host.config)
    if intervention.positions is Positions.last and len(ids):
        host.states(input_ids=ids.to(host.device)[None], past_key_values=cache)
    return cache


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


def spread(runs: Runs, plan: Plan) -> Runs:
    """Results of the rows that were run, for all pairs that were asked for."""
    row = {pair: number for number, pair in enumerate(runs.pairs)}
    asked = [(pair, row[own]) for pair, own in plan.answered_by.items() if own in row]
    found = runs.taken([at for _, at in asked])
    found.pairs = [pair for pair, _ in asked]
    found.cut = runs.cut or len(asked) < len(plan.answered_by)
    return found
