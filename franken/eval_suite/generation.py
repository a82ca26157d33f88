"""Generation for tasks: length-sorted batches through the one decoder, and where a text is cut."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from franken.decoding import Decoding, Ends, Strategy, Written, decode
from franken.decoding.ends import before_stop, plain_text, text_is_over
from franken.eval_suite.readout import Readout


@dataclass(frozen=True)
class Generation:
    """One continuation.

    ``ended`` is ``eos``, ``stop``, ``bytes`` or ``tokens``: what cut it.
    """

    text: str
    tokens: int
    ended: str


@dataclass(frozen=True)
class Limits:
    """Where generations end.

    Attributes:
        max_new_tokens: tokens at most.
        max_new_bytes: UTF-8 bytes at most; whole characters are kept. Equal for all vocabularies,
            while equal token limits favour a vocabulary with long pieces.
        stops: text is cut before the first occurrence of any.
        min_new_tokens: no end token is chosen before so many.
        end_ids: tokens that end a text.
    """

    max_new_tokens: int
    max_new_bytes: int | None = None
    stops: tuple[str, ...] = ()
    min_new_tokens: int = 0
    end_ids: frozenset[int] = frozenset()


def generate(
    readout: Readout,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    limits: Limits,
    *,
    batch_tokens: int,
    writable: int | None = None,
    beams: int = 1,
    done: Callable[[Sequence[int], list[Written]], None] | None = None,
) -> list[Written]:
    """Continue every prompt with the most likely token at each step, or by beam search.

    Args:
        readout: the model.
        tokenizer: turns ids into text.
        prompts: token ids, bos included.
        limits: where to stop.
        batch_tokens: prompt and new tokens of one batch, padding included.
        writable: ids from here on are never chosen.
        beams: hypotheses kept; the best one per token is returned.
        done: called after each batch with the numbers of its prompts and what was written.

    Returns:
        One continuation per prompt, in the order given.
    """
    order = sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index))
    results: list[Written | None] = [None] * len(prompts)
    over = text_is_over(tokenizer, limits.stops, limits.max_new_bytes)
    ends = Ends(limits.end_ids, over)
    options = Decoding(
        Strategy.beam if beams > 1 else Strategy.greedy, limits.max_new_tokens,
        min_new_tokens=limits.min_new_tokens, beams=beams,
    )  # fmt: skip
    start = 0
    while start < len(order):
        longest = beams * (len(prompts[order[start]]) + limits.max_new_tokens)
        rows = max(1, readout.tokens_per_forward(batch_tokens) // longest)
        chosen = order[start : start + rows]
        batch = [prompts[index] for index in chosen]
        written = decode(
            readout, batch, options, ends=ends, writable=writable or readout.vocabulary
        )
        for index, own in zip(chosen, written, strict=True):
            results[index] = own
        start += rows
        if done is not None:
            done(chosen, written)
    return [result for result in results if result is not None]


def cut(tokenizer: Any, written: Written, limits: Limits) -> Generation:
    """The text of what was written up to a stop string or the byte limit, if there is one."""
    text = plain_text(tokenizer, written.ids)
    ended = "eos" if written.ended else "tokens"
    text, stopped = before_stop(text, limits.stops)
    if stopped:
        ended = "stop"
    if limits.max_new_bytes is not None and len(text.encode()) > limits.max_new_bytes:
        text = text.encode()[: limits.max_new_bytes].decode(errors="ignore")
        ended = "bytes"
    return Generation(text.strip(), len(written.ids), ended)
