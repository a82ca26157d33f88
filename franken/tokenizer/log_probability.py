"""How much a vocabulary still gains by growing: the mean log-probability of a line (UniBridge).

Pham et al., ACL 2024, arXiv 2406.09717; the size at which it stops changing is the size to take.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LINES_AT_ONCE = 2000
Found = TypeVar("Found")


def average_log_probability(tokenizer: "PreTrainedTokenizerBase", lines: Iterable[str]) -> float:
    """Nats: mean over lines of the sum over tokens of ``log p``; p is a token's share of the text.

    It equals minus tokens per line times the entropy of the tokens. 0 where there is no line.
    """
    counts: Counter[int] = Counter()
    total = 0
    stream = iter(lines)
    while batch := list(islice(stream, LINES_AT_ONCE)):
        total += len(batch)
        for ids in tokenizer(batch, add_special_tokens=False)["input_ids"]:
            counts.update(ids)
    tokens = sum(counts.values())
    return math.fsum(n * math.log(n / tokens) for n in counts.values()) / total if total else 0.0


def search_size(
    build: Callable[[int], tuple[Found, float | None]], start: int, step: int, most: int,
    change: float,
) -> tuple[Found, list[tuple[int, float | None]]]:  # fmt: skip
    """Build vocabularies of growing size until their log-probability hardly changes.

    Args:
        build: size -> vocabulary and its log-probability; ``None`` for that where the text does
            not hold so many pieces.
        start: first size.
        step: by which it grows.
        most: last size.
        change: nats; the first size that differs by less from the one before is taken.

    Returns:
        The vocabulary taken, and every size tried with its log-probability. The one before is
        taken where the text is too short for the next; the first one always.
    """
    history: list[tuple[int, float | None]] = []
    taken: Found | None = None
    before = math.inf
    for size in _sizes(start, step, most):
        found, value = build(size)
        if value is None and taken is not None:
            break
        taken = found
        history.append((size, value))
        if value is None or abs(value - before) < change:
            break
        before = value
    assert taken is not None
    return taken, history


def _sizes(start: int, step: int, most: int) -> Iterator[int]:
    yield start
    yield from range(start + step, most + 1, step)
