"""Log-probabilities of continuations: length-sorted batches, shared prefixes, chunked logits."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from franken.decoding import left_padded
from franken.eval_suite.readout import Readout
from franken.eval_suite.shared_prefixes import Request, Stem, batches, headed, stems

Advance = Callable[[int], None]


__all__ = ["Request", "Scored", "log_probs", "score"]


@dataclass(frozen=True)
class Scored:
    """What the model says of one continuation."""

    log_probs: Tensor
    """Float32 on the CPU, one per continuation token."""
    greedy: bool
    """Whether every token is the most likely one at its place."""


Done = Callable[[list[tuple[int, Scored]]], None]
"""Told the numbers of some requests and what the model says of them."""


def log_probs(
    readout: Readout,
    requests: Sequence[Request],
    *,
    batch_tokens: int,
    advance: Advance | None = None,
    done: Done | None = None,
) -> list[Tensor]:
    """Log-probabilities of every request's continuation tokens; see :func:`score`."""
    found = score(readout, requests, batch_tokens=batch_tokens, advance=advance, done=done)
    return [scored.log_probs for scored in found]


def score(
    readout: Readout,
    requests: Sequence[Request],
    *,
    batch_tokens: int,
    advance: Advance | None = None,
    done: Done | None = None,
) -> list[Scored]:
    """Score every request.

    What requests share is computed once: a request whose input is a prefix of another's is
    answered from that one's states (in a causal model they are the same), rows that continue
    one context read it from a key-value cache, and so do prompts that begin alike (worked
    examples, instructions). The options of a question thus cost little more than its prompt, and
    worked examples nearly nothing. A model that looks ahead shares only among requests that show
    it the same.

    Args:
        readout: the model.
        requests: in any order; the order does not change the results.
        batch_tokens: tokens per forward pass, padding included.
        advance: called with the number of requests finished.
        done: called after each batch with the numbers of its requests and their values.

    Returns:
        What the model says of each request.
    """
    results: list[Scored | None] = [None] * len(requests)
    found = stems(requests, readout.gate_prefix)
    looks_ahead = readout.gate_prefix is not None or readout.whole_logits
    for header, members in [((), found)] if looks_ahead else headed(found, longest=readout.window):
        cache = _read_header(readout, header)
        width = readout.tokens_per_forward(batch_tokens)
        for batch in batches(members, width, passing=readout.passing()):
            run = _score_rows if len(batch[0].rows) == 1 else _score_stems
            answered = run(readout, batch, requests, len(header), cache)
            for index, scored in answered:
                results[index] = scored
            if done is not None:
                done(answered)
            if advance is not None:
                advance(sum(len(row.requests) for stem in batch for row in stem.rows))
    return [scored for scored in results if scored is not None]


def _read_header(readout: Readout, header: Sequence[int]) -> Any:
    """Keys and values of a header; ``None`` for none."""
    if not header:
        return None
    inputs = torch.tensor([list(header)], device=readout.device)
    return readout.run(input_ids=inputs, use_cache=True).past_key_values


def _repeated(cache: Any, rows: int) -> Any:
    """A copy of a header's cache for so many rows."""
    if cache is None:
        return None
    own = copy.deepcopy(cache)
    own.batch_repeat_interleave(rows)
    return own


class _Picks:
    """Which states predict which tokens, gathered over a batch."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.targets: list[int] = []
        self.spans: list[tuple[int, int, int]] = []

    def add(self, index: int, request: Request, positions: Iterable[int]) -> None:
        """Note a request and the flat positions of its states, one per continuation token."""
        self.spans.append((index, len(self.targets), len(request.continuation)))
        self.positions += positions
        self.targets += request.continuation

    def read(self, readout: Readout, states: Tensor) -> list[tuple[int, Scored]]:
        """What is said of each request, from ``(N, X)`` states; logits are formed in chunks.

        Options of a question are predicted from one state, whose logits are formed once.
        """
        where, owner = torch.tensor(self.positions, device=readout.device).unique(
            return_inverse=True
        )
        owner, order = owner.sort(stable=True)
        wanted = torch.tensor(self.targets, device=readout.device)[order]
        chosen = torch.empty(len(self.targets), device=readout.device, dtype=torch.float32)
        greedy = torch.empty(len(self.targets), device=readout.device, dtype=torch.bool)
        step = readout.rows_per_chunk()
        for start in range(0, len(where), step):
            logits = readout.logits(states[where[start : start + step]])
            total, likeliest = logits.logsumexp(1), logits.argmax(dim=1)
            mine = (owner >= start) & (owner < start + step)
            rows, tokens, places = owner[mine] - start, wanted[mine], order[mine]
            chosen[places] = logits[rows, tokens] - total[rows]
            greedy[places] = likeliest[rows] == tokens
        values, best = chosen.cpu(), greedy.cpu()
        return [
            (
                index,
                Scored(values[first : first + length], bool(best[first : first + length].all())),
            )
            for index, first, length in self.spans
        ]


def _score_rows(
    readout: Readout, batch: Sequence[Stem], requests: Sequence[Request], read: int, cache: Any
) -> list[tuple[int, Scored]]:
    """Run whole rows, padded on the right, where a causal model never looks: no mask is needed.

    Their first ``read`` tokens are in the ``cache`` already.
    """
    rows = [stem.rows[0] for stem in batch]
    width = max(len(row.tokens) for row in rows) - read
    inputs = torch.zeros(len(rows), width, dtype=torch.long)
    picks = _Picks()
    for line, row in enumerate(rows):
        inputs[line, : len(row.tokens) - read] = torch.tensor(row.tokens[read:])
        for index in row.requests:
            request = requests[index]
            first = line * width + len(request.context) - 1 - read
            picks.add(index, request, range(first, first + len(request.continuation)))
    options: dict[str, Any] = {}
    if readout.gate_prefix is not None:
        options["seen"] = torch.tensor([len(row.shown) for row in rows], device=readout.device)
    if cache is not None:
        options["past_key_values"] = _repeated(cache, len(rows))
    output = readout.run(
        input_ids=inputs.to(readout.device), use_cache=cache is not None, **options
    )
    return picks.read(readout, readout.states(output).flatten(0, 1))


def _score_stems(
    readout: Readout, batch: Sequence[Stem], requests: Sequence[Request], read: int, cache: Any
) -> list[tuple[int, Scored]]:
    """Run contexts once, padded on the left, then their continuations on the cached keys.

    Left padding keeps neighbours adjacent in the cache, which sliding windows count by. After a
    header it stands between the two: rows longer than a window have no header (``headed``).
    """
    device = readout.device
    inputs, mask, _ = left_padded([stem.context[read:] for stem in batch])
    mask = torch.cat([mask.new_ones(len(batch), read), mask], dim=1).to(device)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    output = readout.run(
        input_ids=inputs.to(device),
        attention_mask=mask,
        position_ids=positions[:, read:],
        past_key_values=_repeated(cache, len(batch)),
        use_cache=True,
    )
    ends = readout.states(output)[:, -1]
    cache = output.past_key_values

    owners = [line for line, stem in enumerate(batch) for _ in stem.rows]
    tails = [row.tokens[len(stem.context) :] for stem in batch for row in stem.rows]
    length = max(map(len, tails))
    inputs = torch.zeros(len(tails), length, dtype=torch.long)
    for line, tail in enumerate(tails):
        inputs[line, : len(tail)] = torch.tensor(tail)
    chosen = torch.tensor(owners, device=device)
    cache.batch_select_indices(chosen)
    steps = torch.arange(1, length + 1, device=device)
    output = readout.run(
        input_ids=inputs.to(device),
        attention_mask=torch.cat([mask[chosen], mask.new_ones(len(tails), length)], dim=1),
        position_ids=positions[chosen, -1:] + steps,
        past_key_values=cache,
        use_cache=True,
    )
    states = torch.cat([ends, readout.states(output).flatten(0, 1)])
    picks = _Picks()
    rows = [row for stem in batch for row in stem.rows]
    for line, (owner, row) in enumerate(zip(owners, rows, strict=True)):
        first = len(batch) + line * length
        for index in row.requests:
            rest = range(first, first + len(requests[index].continuation) - 1)
            picks.add(index, requests[index], (owner, *rest))
    return picks.read(readout, states)
