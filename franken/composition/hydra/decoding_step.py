"""What all ways of decoding share: their options, what they give, and one step of a batch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import torch
from torch import Tensor

from franken.errors import ConfigError, DataError
from franken.parts.anatomy import text_config


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
            ("length_penalty", math.isfinite(self.length_penalty), "a finite number"),
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
    def positions(self) -> int | None:
        """Longest input; ``None`` where none is stated."""

    @property
    def device(self) -> torch.device:
        """Where inputs belong."""


class WholeModel:
    """A causal language model run as it is: its own forward gives the logits."""

    def __init__(self, model: Any) -> None:
        self.run = model
        self.device: torch.device = model.device
        self.positions: int | None = getattr(
            text_config(model.config), "max_position_embeddings", None
        )

    def states(self, output: Any) -> Tensor:
        """The logits themselves."""
        values: Tensor = output.logits
        return values

    def logits(self, states: Tensor) -> Tensor:
        """As float32."""
        return states.float()


class Stepper:
    """Feeds chosen tokens and gives ``(B, writable)`` log-probabilities of the next."""

    def __init__(
        self, network: Network, prompts: Sequence[Sequence[int]], options: Decoding, writable: int
    ) -> None:
        self.network, self.writable, self.cached = network, writable, options.cache
        width = max(map(len, prompts))
        check_room(width, options.max_new_tokens, network.positions)
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


def check_room(width: int, new: int, positions: int | None) -> None:
    """Refuse what a model cannot read: the last new token is written, not read again.

    Raises:
        DataError: naming the lengths.
    """
    if positions is not None and width + max(new - 1, 0) > positions:
        raise DataError(
            f"a prompt of {width} tokens and {new} new ones do not fit the model's {positions} "
            "positions; cut the prompt or lower max_new_tokens"
        )


def too_early(values: Tensor, made: int, options: Decoding, end: int | None) -> Tensor:
    """Log-probabilities without the end token where too few tokens are made; not normalised."""
    if end is not None and made < options.min_new_tokens and end < values.shape[1]:
        values[:, end] = -torch.inf
    return values
