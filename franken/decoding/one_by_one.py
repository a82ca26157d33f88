"""One token after the other for each prompt: the most likely one, or one drawn."""

from collections.abc import Sequence

import torch
from torch import Tensor

from franken.decoding.ends import Ends
from franken.decoding.options import Decoding, Strategy, Written
from franken.decoding.stepper import Stepper, too_early
from franken.seeds import derive_seed


def one_by_one(stepper: Stepper, options: Decoding, ends: Ends) -> list[Written]:
    """Greedy decoding or sampling; finished rows leave the batch once they are half of it."""
    count = len(stepper.ids)
    new: list[list[int]] = [[] for _ in range(count)]
    totals, ended, stopped = [0.0] * count, [False] * count, [False] * count
    generators = [
        torch.Generator().manual_seed(derive_seed(options.seed, "sampling", options.first + line))
        for line in range(count)
    ]
    rows = list(range(count))
    for step in range(options.max_new_tokens):
        own = [generators[line] for line in rows]
        chosen, gained = _choices(stepper, step, options, ends, own)
        for line, token, value in zip(rows, chosen.tolist(), gained.tolist(), strict=True):
            if ended[line] or stopped[line]:
                continue
            totals[line] += value
            ended[line] = token in ends.ids
            if not ended[line]:
                new[line].append(token)
                stopped[line] = ends.over is not None and ends.over(new[line])
        going = [at for at, line in enumerate(rows) if not (ended[line] or stopped[line])]
        if not going:
            break
        stepper.feed(chosen)
        if 2 * len(going) <= len(rows):
            stepper.keep(torch.tensor(going, device=chosen.device))
            rows = [rows[at] for at in going]
    return [Written(*line) for line in zip(new, totals, ended, stopped, strict=True)]


def _choices(
    stepper: Stepper, step: int, options: Decoding, ends: Ends, own: Sequence[torch.Generator]
) -> tuple[Tensor, Tensor]:
    """``(B,)`` tokens and their log-probabilities."""
    tokens, gained = [], []
    for first, values in stepper.log_probs(stepper.next()):
        values = too_early(values, step, options, ends)
        if options.strategy is Strategy.sample:
            chosen = _draw(values, options, own[first : first + len(values)])
        else:
            chosen = values.argmax(dim=-1)
        tokens.append(chosen)
        gained.append(values.gather(1, chosen[:, None]).squeeze(1))
    return torch.cat(tokens), torch.cat(gained)


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
