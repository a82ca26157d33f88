"""Attention of many rows of one or few tokens over one shared prefix and a private tail each.

Keys and values of the prefix are stored once and multiplied with the queries of all rows in one
product; each row has its own few further positions. The soft-max over both segments is exact:
``out = (e^(s-m) V_shared + e^(t-m) V_private) / (sum e^(s-m) + sum e^(t-m))``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, Cache, DynamicCache

NAME = "franken_shared_prefix"
_CURRENT: ContextVar["PrefixCache"] = ContextVar("franken_prefix_cache")


class Fed:
    """Tokens of a pass in which rows stand at different places, several tokens per row.

    Attributes:
        steps: ``(B, T)`` places after p; padding stands at the last one that there is.
        first: the least of them.
        slots: private slots that are filled after the pass.
        row, column, slot: where each token that is no padding comes from and goes to.
    """

    def __init__(
        self, begins: Sequence[int], lengths: Sequence[int], slots: int, device: torch.device
    ) -> None:
        """Args: ``begins`` and ``lengths`` per row; ``slots`` bounds the places."""
        width = max(lengths)
        places = [[min(begin + at, slots - 1) for at in range(width)] for begin in begins]
        real = [(row, at) for row, length in enumerate(lengths) for at in range(length)]
        self.steps = torch.tensor(places, device=device)
        self.first = min(begins)
        self.slots = max(begin + length for begin, length in zip(begins, lengths, strict=True))
        self.row = torch.tensor([row for row, _ in real], device=device)
        self.column = torch.tensor([at for _, at in real], device=device)
        self.slot = self.steps[self.row, self.column]

    def unseen_own(self, slots: int, window: int | None) -> Tensor:
        """``(B, T, slots)``: which private slots each token does not see."""
        slot = torch.arange(slots, device=self.steps.device)
        steps = self.steps[..., None]
        unseen = slot > steps
        return unseen if window is None else unseen | (slot <= steps - window)

    def unseen_shared(self, seen: int, window: int) -> Tensor:
        """``(B, T, seen)``: which of the last ``seen`` prefix positions each token does not see."""
        behind = torch.arange(seen, 0, -1, device=self.steps.device)
        return behind > window - 1 - self.steps[..., None]


class PrefixCache(Cache):
    """Keys and values: the prefix of one prompt, and slots of R rows.

    ``view`` says which rows the next forward pass is about: a slice of the rows, or ``None`` for
    the clean row, whose keys and values then fill slot 0 of all rows from ``joining`` on (they join
    at this layer or later, and until then they were the clean row). All rows stand ``step`` places
    after p, unless ``fed`` says otherwise.
    """

    def __init__(self, prefix: DynamicCache, position: int, rows: int, slots: int) -> None:
        """Args: ``position`` is p, the number of prompt tokens before the patched one."""
        layers: list[Any] = list(prefix.layers)
        super().__init__(layers=layers)
        self.position, self.rows, self.slots = position, rows, slots
        self.shared = [(layer.keys, layer.values) for layer in layers]
        self.private: dict[int, tuple[Tensor, Tensor]] = {}
        self.view: slice | None = None
        self.joining = 0
        self.step = 0
        self.fed: Fed | None = None

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens before the current one."""
        return self.position + self.step

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store one token per row; give back the private keys and values ``(B, KV, t, H)``."""
        keys, values = self._slots(layer_idx, key_states, value_states)
        if self.view is None:
            keys[self.joining :, :, :1] = key_states
            values[self.joining :, :, :1] = value_states
            return key_states, value_states
        if self.fed is not None:
            row, column, slot = self.fed.row, self.fed.column, self.fed.slot
            keys[row, :, slot] = key_states[row, :, column]
            values[row, :, slot] = value_states[row, :, column]
            return keys[:, :, : self.fed.slots], values[:, :, : self.fed.slots]
        now = slice(self.step, self.step + 1)
        keys[self.view, :, now] = key_states
        values[self.view, :, now] = value_states
        return keys[self.view, :, : self.step + 1], values[self.view, :, : self.step + 1]

    def _slots(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if layer not in self.private:
            self.private[layer] = (
                keys.new_zeros(self.rows, keys.shape[1], self.slots, keys.shape[3]),
                values.new_zeros(self.rows, values.shape[1], self.slots, values.shape[3]),
            )
        return self.private[layer]

    def keep(self, rows: list[int]) -> None:
        """Forget all rows but these."""
        index = torch.tensor(rows, dtype=torch.long)
        for layer, (keys, values) in self.private.items():
            at = index.to(keys.device)
            self.private[layer] = (keys[at], values[at])
        self.rows = len(rows)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of ``(B, H, T, D)`` queries over the shared prefix and ``(B, KV, t, D)`` keys.

    Scores, soft-max and the two sums are float32 for half precision too.

    Returns:
        ``(B, T, H, D)``, and no weights.
    """
    cache = _CURRENT.get()
    rows, heads, count, width = query.shape
    groups = key.shape[1]
    fed, per = cache.fed, heads // groups
    scale = width**-0.5 if scaling is None else scaling
    queries = query.reshape(rows, groups, per * count, width)

    def by_head(mixed: Tensor) -> Tensor:
        return mixed.reshape(rows, heads, count, width).transpose(1, 2)

    def of_heads(unseen: Tensor) -> Tensor:
        return unseen[:, None].expand(-1, per, -1, -1).reshape(rows, per * count, -1)

    own = _capped(torch.matmul(queries, key.transpose(2, 3)).float() * scale, softcap)
    step = cache.step if fed is None else fed.first
    if fed is None:
        own = _windowed(own, step, sliding_window)
    else:
        unseen = of_heads(fed.unseen_own(own.shape[-1], sliding_window))
        own = own.masked_fill(unseen[:, None], -torch.inf)
    prefix = _visible(cache.shared[module.layer_idx], step, sliding_window)
    if prefix is None:
        weights = own.softmax(dim=-1).to(value.dtype)
        return by_head(torch.matmul(weights, value)), None
    keys, values = prefix
    flat = queries.transpose(0, 1).reshape(groups, -1, width)
    common = _capped(torch.matmul(flat, keys.transpose(1, 2)).float() * scale, softcap)
    if fed is not None and sliding_window is not None:
        unseen = of_heads(fed.unseen_shared(keys.shape[1], sliding_window)).flatten(0, 1)
        common = common.masked_fill(unseen, -torch.inf)
    top = common.amax(dim=-1).view(groups, rows, -1).transpose(0, 1)[..., None]
    top = torch.maximum(top, own.amax(dim=-1, keepdim=True))
    own = (own - top).exp()
    common = (common - top.transpose(0, 1).reshape(groups, -1, 1)).exp()

    def by_row(mixed: Tensor) -> Tensor:
        return mixed.view(groups, rows, per * count, -1).transpose(0, 1)

    total = own.sum(dim=-1, keepdim=True) + by_row(common.sum(dim=-1, keepdim=True))
    mixed = by_row(torch.matmul(common.to(value.dtype), values).float())
    mixed = (mixed + torch.matmul(own.to(value.dtype), value).float()) / total
    return by_head(mixed.to(query.dtype)), None


def _visible(
    shared: tuple[Tensor | None, Tensor | None], step: int, window: int | None
) -> tuple[Tensor, Tensor] | None:
    """The prefix ``(KV, S, D)`` that a token ``step`` places after p still sees, if any."""
    keys, values = shared
    if keys is None or values is None:
        return None
    seen = keys.shape[2] if window is None else min(keys.shape[2], max(0, window - 1 - step))
    if seen == 0:
        return None
    first = keys.shape[2] - seen
    return keys[0, :, first:], values[0, :, first:]


def _capped(scores: Tensor, cap: float | None) -> Tensor:
    return scores if cap is None else (scores / cap).tanh() * cap


def _windowed(private: Tensor, step: int, window: int | None) -> Tensor:
    """Hide slots that lie ``window`` or more tokens behind the current one."""
    if window is None or step < window:
        return private
    hidden = private.clone()
    hidden[..., : step - window + 1] = -torch.inf
    return hidden


AttentionInterface.register(NAME, attend)


@contextmanager
def attending(config: Any, cache: PrefixCache) -> Iterator[None]:
    """While open, the model with this config attends over ``cache``."""
    before = config._attn_implementation
    token = _CURRENT.set(cache)
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _CURRENT.reset(token)
