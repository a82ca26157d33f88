"""Decoding where reading and writing vocabularies differ: greedy, beam and sampling, batched.

The prompt holds ids of any table that the model reads; what is generated are ids of the written
one, which come first in the common space and so need no translation on their way back in.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from franken.composition.hydra.beams import beam_search
from franken.composition.hydra.decoding_step import (
    Decoding,
    Network,
    Stepper,
    Strategy,
    Written,
    too_early,
)
from franken.errors import DataError
from franken.seeds import derive_seed


def decode(
    network: Network,
    prompts: Sequence[Sequence[int]],
    options: Decoding,
    *,
    end: int | None,
    writable: int,
) -> list[Written]:
    """Continue a batch of prompts, padded on the left.

    Args:
        network: the model.
        prompts: ids of the common space, control tokens included.
        options: how.
        end: id that ends a continuation.
        writable: ids from here on are never chosen (padding rows, tables that are only read).

    Returns:
        One continuation per prompt; none for no prompt.

    Raises:
        DataError: for an empty prompt, or one that leaves no room for ``max_new_tokens``.
    """
    if not prompts:
        return []
    for place, prompt in enumerate(prompts):
        if not prompt:
            raise DataError(f"prompt {place + 1} of {len(prompts)} is empty; nothing to continue")
    with torch.inference_mode():
        if options.strategy is Strategy.beam:
            return beam_search(Stepper(network, prompts, options, writable), options, end)
        return _one_by_one(Stepper(network, prompts, options, writable), options, end)


def _one_by_one(stepper: Stepper, options: Decoding, end: int | None) -> list[Written]:
    count = len(stepper.ids)
    new: list[list[int]] = [[] for _ in range(count)]
    totals, ended = [0.0] * count, [False] * count
    generators = [
        torch.Generator().manual_seed(derive_seed(options.seed, "sampling", options.first + line))
        for line in range(count)
    ]
    for step in range(options.max_new_tokens):
        values = too_early(stepper.next(), step, options, end)
        if options.strategy is Strategy.sample:
            chosen = _draw(values, options, generators)
        else:
            chosen = values.argmax(dim=-1)
        gained = values.gather(1, chosen[:, None]).squeeze(1).tolist()
        for line, (token, value) in enumerate(zip(chosen.tolist(), gained, strict=True)):
            if ended[line]:
                continue
            totals[line] += value
            ended[line] = token == end
            if not ended[line]:
                new[line].append(token)
        if all(ended):
            break
        stepper.feed(chosen)
    return [Written(*line) for line in zip(new, totals, ended, strict=True)]


def _draw(values: Tensor, options: Decoding, generators: Sequence[torch.Generator]) -> Tensor:
    """One token per row from ``softmax(values / temperature)`` cut by top-k and top-p."""
    probabilities = torch.softmax(values / options.temperature, dim=-1).cpu()
    ranked, order = probabilities.sort(dim=-1, descending=True, stable=True)
    if options.top_k:
        ranked[:, options.top_k :] = 0.0
    before = ranked.cumsum(dim=-1) - ranked
    ranked[before >= options.top_p] = 0.0
    places = [
        torch.multinomial(row, 1, generator=generator)
        for row, generator in zip(ranked, generators, strict=True)
    ]
    return order.gather(1, torch.stack(places)).squeeze(1).to(values.device)
