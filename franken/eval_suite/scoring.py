"""Log-probabilities of continuations: length-sorted batches, shared prefixes, chunked logits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from franken.eval_suite.readout import Readout

Tokens = tuple[int, ...]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Request:
    """``log p(continuation | context)`` is wanted; both are token ids, neither is empty."""

    context: Tokens
    continuation: Tokens

    def __post_init__(self) -> None:
        """Refuse what no causal model can score."""
        if not self.context or not self.continuation:
            raise ValueError(
                f"context and continuation need at least one token each, got "
                f"{len(self.context)} and {len(self.continuation)}"
            )

    @property
    def inputs(self) -> Tokens:
        """What the model reads: everything but the last token, which is only predicted."""
        return self.context + self.continuation[:-1]


@dataclass
class Row:
    """One sequence of a batch and the requests answered from it."""

    tokens: Tokens
    requests: list[int] = field(default_factory=list)


def log_probs(
    readout: Readout,
    requests: Sequence[Request],
    *,
    batch_tokens: int,
    advance: Advance | None = None,
) -> list[Tensor]:
    """Score every request.

    Requests whose input is a prefix of another's are answered from that one's forward pass: in a
    causal model they see the same states. One-token options thus cost one pass per prompt.
    Padding stands on the right, where a causal model never looks, so it needs no mask.

    Args:
        readout: the model.
        requests: in any order; the order does not change the results.
        batch_tokens: tokens per forward pass, padding included.
        advance: called with the number of requests finished.

    Returns:
        Per request a float32 CPU tensor with one log-probability per continuation token.
    """
    results: list[Tensor | None] = [None] * len(requests)
    for batch in batches(shared_rows(requests), readout.tokens_per_forward(batch_tokens)):
        for index, values in _score_batch(readout, batch, requests):
            results[index] = values
        if advance is not None:
            advance(sum(len(row.requests) for row in batch))
    return [values for values in results if values is not None]


def shared_rows(requests: Sequence[Request]) -> list[Row]:
    """Distinct inputs that are no prefix of another, longest first.

    In lexicographic order everything between a sequence and one that extends it also extends it,
    so comparing with the next kept row is enough.
    """
    order = sorted(range(len(requests)), key=lambda index: requests[index].inputs, reverse=True)
    rows: list[Row] = []
    for index in order:
        inputs = requests[index].inputs
        if not rows or rows[-1].tokens[: len(inputs)] != inputs:
            rows.append(Row(inputs))
        rows[-1].requests.append(index)
    rows.sort(key=lambda row: (-len(row.tokens), row.tokens))
    return rows


def batches(rows: Sequence[Row], batch_tokens: int) -> list[list[Row]]:
    """Cut rows (longest first) so that rows x longest stays within ``batch_tokens``."""
    cut: list[list[Row]] = []
    for row in rows:
        if not cut or (len(cut[-1]) + 1) * len(cut[-1][0].tokens) > batch_tokens:
            cut.append([])
        cut[-1].append(row)
    return cut


def _score_batch(
    readout: Readout, batch: Sequence[Row], requests: Sequence[Request]
) -> list[tuple[int, Tensor]]:
    """Run one padded batch and pick the log-probabilities that its requests ask for."""
    width = len(batch[0].tokens)
    inputs = torch.zeros(len(batch), width, dtype=torch.long)
    picks: list[tuple[int, int, int]] = []  # request, flat position of its first state, length
    targets: list[int] = []
    positions: list[int] = []
    for line, row in enumerate(batch):
        inputs[line, : len(row.tokens)] = torch.tensor(row.tokens)
        for index in row.requests:
            request = requests[index]
            first = line * width + len(request.context) - 1
            picks.append((index, len(targets), len(request.continuation)))
            positions.extend(range(first, first + len(request.continuation)))
            targets.extend(request.continuation)
    output = readout.run(input_ids=inputs.to(readout.device), use_cache=False)
    states = readout.states(output).flatten(0, 1)
    where = torch.tensor(positions, device=readout.device)
    wanted = torch.tensor(targets, device=readout.device)
    chosen = torch.empty(len(targets), device=readout.device, dtype=torch.float32)
    step = readout.rows_per_chunk()
    for start in range(0, len(targets), step):
        part = slice(start, start + step)
        logits = readout.logits(states[where[part]])
        chosen[part] = logits.gather(1, wanted[part, None]).squeeze(1) - logits.logsumexp(dim=1)
    values = chosen.cpu()
    return [(index, values[start : start + length]) for index, start, length in picks]
