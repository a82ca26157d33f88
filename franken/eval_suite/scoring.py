"""Log-probabilities of continuations: length-sorted batches, shared prefixes, chunked logits."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from franken.decoding import left_padded
from franken.eval_suite.readout import Readout

Tokens = tuple[int, ...]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Request:
    """``log p(continuation | context)`` is wanted; both are token ids, neither is empty."""

    context: Tokens
    continuation: Tokens
    prompted: bool = True
    """Whether the context says what is asked; not where it is only how a text is opened."""

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

    def shown(self, gate_prefix: int | None) -> Tokens:
        """What a model that looks ahead (``Readout.gate_prefix``) may see before it answers."""
        if gate_prefix is None:
            return ()
        return self.inputs[: len(self.context) + (0 if self.prompted else gate_prefix)]


@dataclass
class Row:
    """One sequence that the model reads, and the requests answered from it."""

    tokens: Tokens
    requests: list[int] = field(default_factory=list)
    shown: Tokens = ()
    """Beginning of the tokens that a model that looks ahead may see."""


@dataclass
class Stem:
    """A context, and the rows that continue it. A single row is its own stem."""

    context: Tokens
    rows: list[Row]

    @property
    def width(self) -> int:
        """Length of the longest row."""
        return max(len(row.tokens) for row in self.rows)


def log_probs(
    readout: Readout,
    requests: Sequence[Request],
    *,
    batch_tokens: int,
    advance: Advance | None = None,
) -> list[Tensor]:
    """Score every request.

    What requests share is computed once: a request whose input is a prefix of another's is
    answered from that one's states (in a causal model they are the same), and rows that continue
    one context read it from a key-value cache. The options of a question thus cost little more
    than its prompt. A model that looks ahead shares only among requests that show it the same.

    Args:
        readout: the model.
        requests: in any order; the order does not change the results.
        batch_tokens: tokens per forward pass, padding included.
        advance: called with the number of requests finished.

    Returns:
        Per request a float32 CPU tensor with one log-probability per continuation token.
    """
    results: list[Tensor | None] = [None] * len(requests)
    found = stems(requests, readout.gate_prefix)
    for batch in batches(found, readout.tokens_per_forward(batch_tokens)):
        score = _score_rows if len(batch[0].rows) == 1 else _score_stems
        for index, values in score(readout, batch, requests):
            results[index] = values
        if advance is not None:
            advance(sum(len(row.requests) for stem in batch for row in stem.rows))
    return [values for values in results if values is not None]


def stems(requests: Sequence[Request], gate_prefix: int | None = None) -> list[Stem]:
    """Rows grouped by the context they continue: single rows first, each kind longest first.

    Only contexts longer than what follows are worth a pass of their own.
    """
    shared: dict[Tokens, list[Row]] = defaultdict(list)
    found: list[Stem] = []
    for row in shared_rows(requests, gate_prefix):
        contexts = {requests[index].context for index in row.requests}
        context = min(contexts, key=len)
        seen_alone = gate_prefix is None or row.shown == context
        if len(contexts) == 1 and seen_alone and 2 * len(context) > len(row.tokens):
            shared[context].append(row)
        else:
            found.append(Stem(row.tokens, [row]))
    found += [Stem(context, rows) for context, rows in shared.items()]
    return sorted(found, key=lambda s: (len(s.rows) > 1, -s.width, s.context, s.rows[0].tokens))


def shared_rows(requests: Sequence[Request], gate_prefix: int | None = None) -> list[Row]:
    """Distinct inputs that are no prefix of another, apart by what they show.

    In lexicographic order everything between a sequence and one that extends it also extends it,
    so comparing with the last kept row is enough.
    """
    keys = [(request.shown(gate_prefix), request.inputs) for request in requests]
    rows: list[Row] = []
    for index in sorted(range(len(requests)), key=keys.__getitem__, reverse=True):
        shown, inputs = keys[index]
        if not rows or rows[-1].shown != shown or rows[-1].tokens[: len(inputs)] != inputs:
            rows.append(Row(inputs, shown=shown))
        rows[-1].requests.append(index)
    return rows


def batches(found: Iterable[Stem], batch_tokens: int) -> list[list[Stem]]:
    """Cut stems so that rows x longest stays within ``batch_tokens``; single rows go apart."""
    cut: list[list[Stem]] = []
    rows = width = 0
    for stem in found:
        same_kind = bool(cut) and (len(cut[-1][0].rows) > 1) == (len(stem.rows) > 1)
        width = max(width, stem.width)
        if not same_kind or (rows + len(stem.rows)) * width > batch_tokens:
            cut.append([])
            rows, width = 0, stem.width
        cut[-1].append(stem)
        rows += len(stem.rows)
    return cut


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

    def read(self, readout: Readout, states: Tensor) -> list[tuple[int, Tensor]]:
        """Log-probabilities by request, from ``(N, X)`` states; logits are formed in chunks."""
        where = torch.tensor(self.positions, device=readout.device)
        wanted = torch.tensor(self.targets, device=readout.device)
        chosen = torch.empty(len(self.targets), device=readout.device, dtype=torch.float32)
        step = readout.rows_per_chunk()
        for start in range(0, len(self.targets), step):
            part = slice(start, start + step)
            logits = readout.logits(states[where[part]])
            chosen[part] = logits.gather(1, wanted[part, None]).squeeze(1) - logits.logsumexp(1)
        values = chosen.cpu()
        return [(index, values[start : start + length]) for index, start, length in self.spans]


def _score_rows(
    readout: Readout, batch: Sequence[Stem], requests: Sequence[Request]
) -> list[tuple[int, Tensor]]:
    """Run whole rows, padded on the right, where a causal model never looks: no mask is needed."""
    rows = [stem.rows[0] for stem in batch]
    width = max(len(row.tokens) for row in rows)
    inputs = torch.zeros(len(rows), width, dtype=torch.long)
    picks = _Picks()
    for line, row in enumerate(rows):
        inputs[line, : len(row.tokens)] = torch.tensor(row.tokens)
        for index in row.requests:
            request = requests[index]
            first = line * width + len(request.context) - 1
            picks.add(index, request, range(first, first + len(request.continuation)))
    options: dict[str, Any] = {}
    if readout.gate_prefix is not None:
        options["seen"] = torch.tensor([len(row.shown) for row in rows], device=readout.device)
    output = readout.run(input_ids=inputs.to(readout.device), use_cache=False, **options)
    return picks.read(readout, readout.states(output).flatten(0, 1))


def _score_stems(
    readout: Readout, batch: Sequence[Stem], requests: Sequence[Request]
) -> list[tuple[int, Tensor]]:
    """Run contexts once, padded on the left, then their continuations on the cached keys.

    Left padding keeps neighbours adjacent in the cache, which sliding windows count by.
    """
    device = readout.device
    inputs, mask, positions = left_padded([stem.context for stem in batch])
    mask, positions = mask.to(device), positions.to(device)
    output = readout.run(
        input_ids=inputs.to(device), attention_mask=mask, position_ids=positions, use_cache=True
    )
    ends = readout.states(output)[:, -1]
    cache: Any = output.past_key_values

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
