"""Many prompts at once: plain answers, sampled answers, and one fixed pair applied to all.

Left-padded batches, so that the last position of every row is its prompt's last token.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from franken.decoding import left_padded
from franken.inference.xtransplant.choices import Positions, Steps
from franken.inference.xtransplant.contract import (
    PLAIN,
    Decoding,
    EngineRun,
    Intervention,
    Options,
    Pair,
    Runs,
    Task,
)
from franken.inference.xtransplant.donors import noise_like
from franken.inference.xtransplant.engine_parts import joined, prefill
from franken.inference.xtransplant.greedy import Rows
from franken.inference.xtransplant.host import Host


def answer_plainly(host: Host, tasks: Sequence[Task], decoding: Decoding) -> Runs:
    """Continue every target prompt."""
    rows = Rows(tasks, decoding, host.device)
    _continue(host, rows, None)
    return rows.runs([(-1, -1)] * len(tasks), range(len(tasks)), 0)


def sample_answers(
    host: Host, task: Task, count: int, decoding: Decoding, *, temperature: float, seed: int
) -> Runs:
    """Continue one target prompt ``count`` times by sampling; the prompt is read once."""
    generator = torch.Generator().manual_seed(seed)

    def choose(logits: Tensor) -> Tensor:
        shares = (logits.float().cpu() / temperature).softmax(dim=-1)
        return torch.multinomial(shares, 1, generator=generator)[:, 0].to(logits.device)

    rows = Rows([task] * count, decoding, host.device, choose=choose)
    cache = prefill(host, task.target[:-1], Intervention())
    if cache.get_seq_length():
        cache.batch_repeat_interleave(count)
    ids = task.target[-1:].to(host.device).expand(count)
    while rows.going():
        ids = rows.push(
            host.last_logits(host.states(input_ids=ids[:, None], past_key_values=cache))
        )
    return rows.runs([(-1, -1)] * count, range(count), 0)


def fits_batches(intervention: Intervention) -> bool:
    """Whether a fixed pair can be applied to padded batches."""
    last = intervention.positions is Positions.last
    return last and intervention.steps is Steps.prefill


def answer_with_pair(
    host: Host,
    tasks: Sequence[Task],
    pair: Pair,
    intervention: Intervention,
    decoding: Decoding,
    *,
    keep_logits: bool = False,
) -> Runs:
    """One pair for all samples: one donor pass and one continuation per sample.

    Tokens equal those of single runs up to the rounding of other matrix shapes.
    """
    source, target = pair

    def keep(states: Tensor) -> Tensor:
        return states[:, -1:]

    with host.recorded(intervention.site, keep) as recorded:
        inputs = padded([task.donor.ids for task in tasks], host)
        host.states(past_key_values=DynamicCache(config=host.config), **inputs)
    vectors = recorded[source].clone()
    for row, task in enumerate(tasks):
        if task.donor.noise_seed is not None:
            bank = torch.stack([layer[row] for layer in recorded])[None]
            vectors[row] = noise_like(bank, task.donor.noise_seed)[0, source]
    rows = Rows(tasks, decoding, host.device, keep_logits=keep_logits)

    def change(own: Tensor) -> Tensor:
        last = intervention.combine(own[:, -1:], vectors)
        return torch.cat([own[:, :-1], last], dim=1)

    _continue(host, rows, host.patched(target, intervention.site, change))
    return rows.runs([pair] * len(tasks), range(len(tasks)), 0)


def in_batches(others: Sequence[Task]) -> EngineRun:
    """``answer_with_pair`` as an engine for one sample, in one batch with others.

    So that the preflight can hold it to ``naive``: padding and neighbours must change nothing.
    """

    def run(
        host: Host,
        task: Task,
        pairs: Sequence[Pair],
        intervention: Intervention,
        decoding: Decoding,
        options: Options = PLAIN,
    ) -> Runs:
        parts = []
        for pair in pairs:
            found = answer_with_pair(host, [task, *others], pair, intervention, decoding,
                                     keep_logits=options.keep_logits)  # fmt: skip
            first = found.first_logits
            parts.append(Runs([pair], found.tokens[:1], found.margins[:1],
                              None if first is None else first[:1], finished=[True]))  # fmt: skip
        return joined(parts, 0)

    return run


def _continue(host: Host, rows: Rows, patch: Any) -> None:
    inputs = padded([task.target for task in rows.tasks], host)
    cache = DynamicCache(config=host.config)
    while rows.going():
        with patch or nullcontext():
            states = host.states(past_key_values=cache, **inputs)
        patch = None
        tokens = rows.push(host.last_logits(states))[:, None]
        mask = inputs["attention_mask"]
        inputs = {
            "input_ids": tokens,
            "attention_mask": torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1),
            "position_ids": inputs["position_ids"][:, -1:] + 1,
        }


def padded(prompts: Sequence[Tensor], host: Host) -> dict[str, Tensor]:
    """Left-padded ``input_ids``, ``attention_mask`` and ``position_ids``."""
    ids, mask, positions = left_padded(prompts)
    found = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
    return {name: tensor.to(host.device) for name, tensor in found.items()}


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of prompts by descending length, as many per batch as fit."""
    order = sorted(range(len(lengths)), key=lambda at: (-lengths[at], at))
    while order:
        rows = max(1, batch_tokens // max(1, lengths[order[0]]))
        yield order[:rows]
        order = order[rows:]
