"""Greedy generation in length-sorted, left-padded batches with a key-value cache."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from franken.composition.hydra import Decoding, Strategy, decode
from franken.eval_suite.readout import Readout

CHECK_EVERY = 8
"""Steps between looks for the stop string; what is kept does not depend on it."""


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
        stop: text is cut before its first occurrence; empty for none.
        min_new_tokens: eos is not chosen before so many.
    """

    max_new_tokens: int
    max_new_bytes: int | None = None
    stop: str = ""
    min_new_tokens: int = 0


def generate(
    readout: Readout,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    limits: Limits,
    *,
    batch_tokens: int,
    writable: int | None = None,
    beams: int = 1,
    advance: Callable[[int], None] | None = None,
) -> list[Generation]:
    """Continue every prompt with the most likely token at each step, or by beam search.

    Args:
        readout: the model.
        tokenizer: gives eos and turns ids into text.
        prompts: token ids, bos included.
        limits: where to stop.
        batch_tokens: prompt and new tokens of one batch, padding included.
        writable: ids from here on are never chosen.
        beams: hypotheses kept; the best one per token is returned, text is cut afterwards.
        advance: called with the number of prompts finished.

    Returns:
        One generation per prompt, in the order given.
    """
    order = sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index))
    results: list[Generation | None] = [None] * len(prompts)
    start = 0
    while start < len(order):
        longest = beams * (len(prompts[order[start]]) + limits.max_new_tokens)
        rows = max(1, readout.tokens_per_forward(batch_tokens) // longest)
        chosen = order[start : start + rows]
        batch = [prompts[index] for index in chosen]
        if beams > 1:
            new = _search(readout, tokenizer, batch, limits, beams, writable)
        else:
            new = _continue(readout, tokenizer, batch, limits, writable)
        for index, ids in zip(chosen, new, strict=True):
            results[index] = cut(tokenizer, ids, limits)
        start += rows
        if advance is not None:
            advance(len(chosen))
    return [result for result in results if result is not None]


def _search(
    readout: Readout, tokenizer: Any, prompts: Sequence[Sequence[int]], limits: Limits,
    beams: int, writable: int | None,
) -> list[list[int]]:  # fmt: skip
    """New ids of one batch by beam search; eos is put back where it ended a hypothesis."""
    options = Decoding(
        Strategy.beam, limits.max_new_tokens, min_new_tokens=limits.min_new_tokens, beams=beams
    )
    eos = tokenizer.eos_token_id
    found = decode(readout, prompts, options, end=eos, writable=writable or readout.vocabulary)
    return [[*w.ids, eos] if w.ended else w.ids for w in found]


def _continue(
    readout: Readout, tokenizer: Any, prompts: Sequence[Sequence[int]], limits: Limits,
    writable: int | None,
) -> list[list[int]]:  # fmt: skip
    """New ids of one batch; rows go on past their end until all have ended."""
    width = max(len(prompt) for prompt in prompts)
    device = readout.device
    inputs = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros_like(inputs)
    for line, prompt in enumerate(prompts):
        inputs[line, width - len(prompt) :] = torch.tensor(prompt)
        mask[line, width - len(prompt) :] = 1
    inputs, mask = inputs.to(device), mask.to(device)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    new: list[list[int]] = [[] for _ in prompts]
    cache: Any = None
    for step in range(limits.max_new_tokens):
        output = readout.run(
            input_ids=inputs,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        cache = output.past_key_values
        logits = readout.logits(readout.states(output)[:, -1])
        if step < limits.min_new_tokens and tokenizer.eos_token_id is not None:
            logits[:, tokenizer.eos_token_id] = -torch.inf
        chosen: Tensor = logits[:, :writable].argmax(dim=-1)
        for line, token in enumerate(chosen.tolist()):
            new[line].append(token)
        if _all_ended(tokenizer, new, limits, look=(step + 1) % CHECK_EVERY == 0):
            break
        inputs = chosen[:, None]
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
        positions = positions[:, -1:] + 1
    return new


def _all_ended(tokenizer: Any, new: list[list[int]], limits: Limits, *, look: bool) -> bool:
    eos = tokenizer.eos_token_id
    running = [ids for ids in new if eos is None or eos not in ids]
    if not running:
        return True
    return look and all(cut(tokenizer, ids, limits).ended in ("stop", "bytes") for ids in running)


def cut(tokenizer: Any, ids: Sequence[int], limits: Limits) -> Generation:
    """Text of the ids up to eos, the stop string or the byte limit, whichever comes first."""
    eos = tokenizer.eos_token_id
    kept = list(ids)
    ended = "tokens"
    if eos is not None and eos in kept:
        kept, ended = kept[: kept.index(eos)], "eos"
    text = str(tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    if limits.stop and limits.stop in text:
        text, ended = text[: text.index(limits.stop)], "stop"
    if limits.max_new_bytes is not None and len(text.encode()) > limits.max_new_bytes:
        text = text.encode()[: limits.max_new_bytes].decode(errors="ignore")
        ended = "bytes"
    return Generation(text.strip(), len(kept), ended)
