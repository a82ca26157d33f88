"""Decoding where reading and writing vocabularies differ: greedy, beam and sampling, batched.

The prompt holds ids of any table that the model reads; what is generated are ids of the written
one, which come first in the common space and so need no translation on their way back in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import torch
from torch import Tensor

from franken.errors import ConfigError, DataError
from franken.seeds import derive_seed


class Strategy(StrEnum):
    """How the next token is chosen."""

    greedy = "greedy"
    beam = "beam"
    sample = "sample"


@dataclass(frozen=True)
class Decoding:
    """How to decode.

    Attributes:
        strategy: greedy, beam or sample.
        max_new_tokens: tokens at most.
        min_new_tokens: the end token is not chosen before so many.
        beams: hypotheses kept per prompt, for ``beam``.
        length_penalty: a finished hypothesis scores ``log p / length ** length_penalty``.
        temperature: of sampling.
        top_k: sample among so many tokens; 0: all.
        top_p: sample among the fewest tokens whose probabilities reach this.
        seed: of sampling.
        first: number of the first prompt of the batch, so that draws do not depend on batches.
        cache: whether keys and values are kept; the result does not depend on it.

    Raises:
        ConfigError: for a number that means nothing.
    """

    strategy: Strategy = Strategy.greedy
    max_new_tokens: int = 64
    min_new_tokens: int = 0
    beams: int = 4
    length_penalty: float = 1.0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    first: int = 0
    cache: bool = True

    def __post_init__(self) -> None:
        for name, sound, wanted in (
            ("max_new_tokens", self.max_new_tokens >= 0, "at least 0"),
            ("min_new_tokens", self.min_new_tokens >= 0, "at least 0"),
            ("beams", self.beams >= 1, "at least 1"),
            ("temperature", self.temperature > 0, "above 0; for the most likely token: greedy"),
            ("top_k", self.top_k >= 0, "at least 0 (0: all tokens)"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
        ):
            if not sound:
                raise ConfigError(f"Decoding.{name} is {getattr(self, name)}; must be {wanted}")


@dataclass(frozen=True)
class Written:
    """What was generated: own ids of the written table, without the end token."""

    ids: list[int]
    log_prob: float
    """Sum over the ids and the end token."""
    ended: bool
    """Whether an end token was chosen."""


class Network(Protocol):
    """Body and head of a model, as ``franken.eval_suite.readout.Readout`` has them."""

    @property
    def run(self) -> Callable[..., Any]:
        """Forward pass."""

    @property
    def states(self) -> Callable[[Any], Tensor]:
        """States in what ``run`` returned."""

    @property
    def logits(self) -> Callable[[Tensor], Tensor]:
        """``(N, X)`` states -> ``(N, V)`` logits."""

    @property
    def device(self) -> torch.device:
        """Where inputs belong."""


class WholeModel:
    """A causal language model run as it is: its own forward gives the logits."""

    def __init__(self, model: Any) -> None:
        self.run = model
        self.device: torch.device = model.device

    def states(self, output: Any) -> Tensor:
        """The logits themselves."""
        values: Tensor = output.logits
        return values

    def logits(self, states: Tensor) -> Tensor:
        """As float32."""
        return states.float()


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
        One continuation per prompt.

    Raises:
        DataError: for an empty prompt.
    """
    for place, prompt in enumerate(prompts):
        if not prompt:
            raise DataError(f"prompt {place + 1} of {len(prompts)} is empty; nothing to continue")
    with torch.inference_mode():
        if options.strategy is Strategy.beam:
            return _beam(_Stepper(network, prompts, options, writable), options, end)
        return _one_by_one(_Stepper(network, prompts, options, writable), options, end)


class _Stepper:
    """Feeds chosen tokens and gives ``(B, writable)`` log-probabilities of the next."""

    def __init__(
        self, network: Network, prompts: Sequence[Sequence[int]], options: Decoding, writable: int
    ) -> None:
        self.network, self.writable, self.cached = network, writable, options.cache
        width = max(map(len, prompts))
        ids = torch.zeros(len(prompts), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for line, prompt in enumerate(prompts):
            ids[line, width - len(prompt) :] = torch.tensor(prompt)
            mask[line, width - len(prompt) :] = 1
        self.ids, self.mask = ids.to(network.device), mask.to(network.device)
        self.new = self.ids
        self.cache: Any = None

    def next(self) -> Tensor:
        """Log-probabilities after all that was fed so far."""
        positions = (self.mask.cumsum(dim=1) - 1).clamp(min=0)
        inputs = self.new if self.cached else self.ids
        output = self.network.run(
            input_ids=inputs,
            attention_mask=self.mask,
            position_ids=positions[:, -inputs.shape[1] :],
            past_key_values=self.cache,
            use_cache=self.cached,
        )
        if self.cached:
            self.cache = output.past_key_values
        states = self.network.states(output)[:, -1]
        logits = self.network.logits(states)[:, : self.writable]
        return torch.log_softmax(logits.float(), dim=-1)

    def feed(self, tokens: Tensor) -> None:
        """Append ``(B,)`` tokens."""
        self.new = tokens[:, None]
        self.ids = torch.cat([self.ids, self.new], dim=1)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows, in this order, repeats allowed."""
        self.ids, self.mask = self.ids[rows], self.mask[rows]
        if self.cache is not None:
            self.cache.batch_select_indices(rows)


def _one_by_one(stepper: _Stepper, options: Decoding, end: int | None) -> list[Written]:
    count = len(stepper.ids)
    new: list[list[int]] = [[] for _ in range(count)]
    totals, ended = [0.0] * count, [False] * count
    generators = [
        torch.Generator().manual_seed(derive_seed(options.seed, "sampling", options.first + line))
        for line in range(count)
    ]
    for step in range(options.max_new_tokens):
        values = _too_early(stepper.next(), step, options, end)
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


def _too_early(values: Tensor, made: int, options: Decoding, end: int | None) -> Tensor:
    """Log-probabilities without the end token where too few tokens are made; not normalised."""
    if end is not None and made < options.min_new_tokens and end < values.shape[1]:
        values[:, end] = -torch.inf
    return values


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


@dataclass
class _Beams:
    """What is finished for one prompt, best first."""

    width: int
    done: list[tuple[float, Written]]

    def add(self, score: float, written: Written) -> None:
        self.done.append((score, written))
        self.done.sort(key=lambda item: -item[0])
        del self.done[self.width :]


def _beam(stepper: _Stepper, options: Decoding, end: int | None) -> list[Written]:
    """Keeps the ``beams`` most likely open hypotheses and the best finished ones of each prompt.

    A prompt is over when its worst kept finished hypothesis beats what the best open one scores
    now (with a length penalty that may still be overtaken by a longer one; as in transformers with
    ``early_stopping=False``).
    """
    prompts, width = len(stepper.ids), options.beams
    device = stepper.ids.device
    start = stepper.ids.shape[1]
    finished = [_Beams(width, []) for _ in range(prompts)]
    over = [False] * prompts
    values = stepper.next()  # every prompt is read once, then its row is repeated
    repeated = torch.arange(prompts, device=device).repeat_interleave(width)
    values = values[repeated]
    stepper.keep(repeated)
    scores = torch.full((prompts, width), -torch.inf, device=device)
    scores[:, 0] = 0.0
    for length in range(1, options.max_new_tokens + 1):
        values = _too_early(stepper.next() if length > 1 else values, length - 1, options, end)
        size = values.shape[1]
        totals = (scores.view(-1, 1) + values).view(prompts, width * size)
        best, where = totals.topk(min(2 * width, totals.shape[1]), dim=1)
        rows = torch.zeros(prompts, width, dtype=torch.long, device=device)
        tokens = torch.zeros_like(rows)
        scores = torch.full_like(scores, -torch.inf)
        for prompt in range(prompts):
            kept = 0
            for rank, (total, place) in enumerate(
                zip(best[prompt].tolist(), where[prompt].tolist(), strict=True)
            ):
                row, token = prompt * width + place // size, place % size
                if total == -torch.inf or kept == width:
                    break
                if token == end:
                    if rank < width and not over[prompt]:
                        ids = stepper.ids[row, start:].tolist()
                        score = total / length**options.length_penalty
                        finished[prompt].add(score, Written(ids, total, True))
                    continue
                rows[prompt, kept], tokens[prompt, kept] = row, token
                scores[prompt, kept] = total
                kept += 1
            rows[prompt, kept:] = prompt * width
            done = finished[prompt].done
            open_score = scores[prompt].max().item() / length**options.length_penalty
            over[prompt] |= len(done) == width and done[-1][0] >= open_score
        stepper.keep(rows.flatten())
        stepper.feed(tokens.flatten())
        if all(over):
            break
    for prompt in range(prompts):
        if over[prompt]:
            continue
        for beam, total in enumerate(scores[prompt].tolist()):
            if total == -torch.inf:
                continue
            ids = stepper.ids[prompt * width + beam, start:].tolist()
            score = total / len(ids) ** options.length_penalty
            finished[prompt].add(score, Written(ids, total, False))
    return [beams.done[0][1] for beams in finished]
