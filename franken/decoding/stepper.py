"""One step of a batch: what a model is to the decoder, and the log-probabilities it gives."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from franken.decoding.ends import Ends
from franken.decoding.options import Decoding
from franken.errors import DataError
from franken.parts.anatomy import text_config

LOGIT_BUDGET = 2**24
"""Float32 logits formed at once on a CPU: 64 MiB, twice that for a moment. Fewer would read the
head of a large vocabulary for each few rows. Accelerators form 16 times as many."""


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
        # Of a long prompt only the last position is wanted, and logits of all are a lot.
        keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.run = partial(model, logits_to_keep=1) if keeps else model
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
    """Feeds chosen tokens and gives the log-probabilities of the next, some rows at a time."""

    def __init__(
        self, network: Network, prompts: Sequence[Sequence[int]], options: Decoding, writable: int
    ) -> None:
        self.network, self.writable, self.cached = network, writable, options.cache
        check_room(max(map(len, prompts)), options.max_new_tokens, network.positions)
        ids, mask, _ = left_padded(prompts)
        self.ids, self.mask = ids.to(network.device), mask.to(network.device)
        self.new = self.ids
        self.cache: Any = None
        """Keys and values of what was read."""

    def next(self) -> Tensor:
        """``(B, X)`` states after all that was fed so far."""
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
        return self.network.states(output)[:, -1]

    def log_probs(self, states: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Log-probabilities of ``(B, X)`` states, a few rows at a time.

        Yields:
            The number of the first row, and ``(N, writable)`` float32. Rows over a vocabulary of
            262 thousand take a megabyte each, so those of a whole batch are never held at once.
        """
        budget = LOGIT_BUDGET * (1 if self.network.device.type == "cpu" else 16)
        rows = max(1, budget // self.writable)
        for first in range(0, len(states), rows):
            logits = self.network.logits(states[first : first + rows])[:, : self.writable]
            yield first, torch.log_softmax(logits.float(), dim=-1)

    def feed(self, tokens: Tensor) -> None:
        """Append ``(B,)`` tokens."""
        self.new = tokens[:, None]
        self.ids = torch.cat([self.ids, self.new], dim=1)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows, in this order, repeats allowed."""
        self.ids, self.mask, self.new = self.ids[rows], self.mask[rows], self.new[rows]
        if self.cache is not None:
            self.cache.batch_select_indices(rows)


def left_padded(prompts: Sequence[Sequence[int] | Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """``(B, L)`` ids, attention mask and positions of prompts that end together.

    Left padding keeps neighbours adjacent in the cache, which sliding windows count by.
    """
    width = max(map(len, prompts))
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for line, prompt in enumerate(prompts):
        ids[line, width - len(prompt) :] = torch.as_tensor(prompt)
        mask[line, width - len(prompt) :] = 1
    return ids, mask, (mask.cumsum(dim=1) - 1).clamp(min=0)


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


def too_early(values: Tensor, made: int, options: Decoding, ends: Ends) -> Tensor:
    """Log-probabilities without end tokens where too few tokens are made; not normalised."""
    if made < options.min_new_tokens:
        values[:, [end for end in ends.ids if end < values.shape[1]]] = -torch.inf
    return values
