"""What requests share: distinct rows, the contexts they continue, the headers of prompts."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Tokens = tuple[int, ...]

MIN_HEADER = 12
"""Tokens that prompts must share for a pass of their own to pay."""


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

    head: Tokens = ()
    """Beginning of the context before the first state that predicts something."""

    @property
    def width(self) -> int:
        """Length of the longest row."""
        return max(len(row.tokens) for row in self.rows)

    @property
    def several(self) -> bool:
        """Whether the context is read for more than one row."""
        return len(self.rows) > 1


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
            found.append(Stem(row.tokens, [row], head=context[:-1] if seen_alone else ()))
    found += [Stem(context, rows, head=context[:-1]) for context, rows in shared.items()]
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


def batches(
    found: Iterable[Stem], batch_tokens: int, *, passing: int | None = None
) -> list[list[Stem]]:
    """Cut stems so that rows x longest stays within ``batch_tokens``; single rows go apart.

    Args:
        found: as ``stems`` gives them, so that neighbours are about as long.
        batch_tokens: tokens of one batch, padding included.
        passing: what one more pass costs, in tokens: the cut is then the one of least cost, padding
            counted. ``None``: more than any padding, so that batches are as full as can be.
    """
    if passing is not None:
        return _cheapest(list(found), batch_tokens, passing)
    cut: list[list[Stem]] = []
    rows = width = 0
    for stem in found:
        width = max(width, stem.width)
        alike = bool(cut) and cut[-1][0].several == stem.several
        if not alike or (rows + len(stem.rows)) * width > batch_tokens:
            cut.append([])
            rows, width = 0, stem.width
        cut[-1].append(stem)
        rows += len(stem.rows)
    return cut


_BEYOND = 4
"""A batch whose padding costs more than so many passes is better cut: none is looked at."""


def _cheapest(found: list[Stem], batch_tokens: int, passing: int) -> list[list[Stem]]:
    """The cut into neighbours with the least tokens read, a pass counted as ``passing`` of them."""
    costs, begins = [0.0] + [math.inf] * len(found), [0] * (len(found) + 1)
    for first, head in enumerate(found):
        rows = width = context = tail = needed = 0
        for last in range(first, len(found)):
            stem = found[last]
            own = stem.width - len(stem.context)
            rows, width = rows + len(stem.rows), max(width, stem.width)
            context, tail = max(context, len(stem.context)), max(tail, own)
            needed += len(stem.context) + own * len(stem.rows)
            read = (last - first + 1) * context + rows * tail
            full = rows * width > batch_tokens or read - needed > _BEYOND * passing
            if last > first and (stem.several != head.several or full):
                break
            if costs[first] + read + passing < costs[last + 1]:
                costs[last + 1], begins[last + 1] = costs[first] + read + passing, first
    cut: list[list[Stem]] = []
    end = len(found)
    while end:
        cut.append(found[begins[end] : end])
        end = begins[end]
    return cut[::-1]


def headed(found: Sequence[Stem], *, longest: int | None = None) -> list[tuple[Tokens, list[Stem]]]:
    """Stems grouped by the header that their prompts begin with (worked examples, instructions).

    Args:
        found: as ``stems`` gives them.
        longest: rows longer than this stay without a header; ``None``: no limit.

    Returns:
        Headers and their stems, each group in the order of ``found``; the empty header first.
    """
    able = [i for i, stem in enumerate(found) if longest is None or stem.width <= longest]
    able.sort(key=lambda index: (found[index].head, index))
    groups = [
        (length, [able[member] for member in members])
        for length, members in _best_groups([found[index].head for index in able])
        if len(members) > 1
    ]
    inside = {index for _, members in groups for index in members}
    plain = [stem for index, stem in enumerate(found) if index not in inside]
    return ([((), plain)] if plain else []) + [
        (found[members[0]].head[:length], [found[index] for index in sorted(members)])
        for length, members in groups
    ]


@dataclass
class _Branch:
    """Neighbours in a sorted list that begin with the same ``length`` tokens."""

    length: int
    parts: list["_Branch"] = field(default_factory=list)
    saved: int = 0
    groups: list[tuple[int, list[int]]] = field(default_factory=list)

    def close(self, last: "_Branch") -> "_Branch":
        """Take the last part, then choose: one header for all, or what is best for each part."""
        self.parts.append(last)
        self.groups = [group for part in self.parts for group in part.groups]
        self.saved = sum(part.saved for part in self.parts)
        members = [member for _, own in self.groups for member in own]
        whole = (len(members) - 1) * self.length if self.length >= MIN_HEADER else 0
        if whole > self.saved:
            self.groups, self.saved = [(self.length, members)], whole
        return self


def _best_groups(prompts: Sequence[Tokens]) -> list[tuple[int, list[int]]]:
    """Lengths of headers and which prompts have them, so that most tokens are saved.

    A header saves its length for every prompt but the first. The prompts are sorted, so those that
    share a prefix are neighbours, and the possible groups form a tree (that of the intervals of
    longest common prefixes, built with a stack as for suffix arrays).
    """
    if not prompts:
        return []
    leaves = [_Branch(len(prompt), groups=[(0, [i])]) for i, prompt in enumerate(prompts)]
    stack: list[_Branch] = []
    last = leaves[0]
    for index in range(1, len(prompts)):
        shared = common_prefix(prompts[index - 1], prompts[index])
        while stack and stack[-1].length > shared:
            last = stack.pop().close(last)
        if not stack or stack[-1].length < shared:
            stack.append(_Branch(shared))
        stack[-1].parts.append(last)
        last = leaves[index]
    while stack:
        last = stack.pop().close(last)
    return last.groups


def common_prefix(first: Tokens, second: Tokens) -> int:
    """Number of tokens that both begin with."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
