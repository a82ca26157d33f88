"""What a model makes of the chunks of a batch, without all logits at a time."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


@dataclass
class View:
    """One model's states over a batch, its head, and the chunks of its tokens."""

    hidden: Tensor
    """``(B, L, D)`` states before the head."""
    weight: Tensor
    """``(V, D)`` output rows."""
    bias: Tensor | None
    ids: Tensor
    """``(B, L)``."""
    chunks: Tensor
    """``(B, L)`` the chunk of each token, distinct over the batch; -1: none."""
    count: int
    """Chunk numbers lie below this; not each of them is there."""
    softcap: float | None = None
    scale: float = 1.0
    begins: Tensor | None = None
    """Ids of the tokens that begin with a boundary: white space, or control tokens."""
    shared: Tensor | None = None
    """``(n,)`` ids of the tokens that the other side has too, in the same order on both sides."""
    block: int = 1024
    """Positions whose logits exist at a time; 0: all."""

    def present(self) -> Tensor:
        """``(count,)`` bool: chunks that are there."""
        return self.tokens() > 0

    def tokens(self) -> Tensor:
        """``(count,)`` tokens of each chunk."""
        return torch.bincount(self.chunks[self.chunks >= 0], minlength=self.count)

    def log_likelihoods(self) -> Tensor:
        """``(count,)`` log-likelihood of each chunk, nats: the sum over its tokens; 0 of none."""
        return self._sums(self.chunks[:, 1:] >= 0, _token_log_likelihoods)

    def log_likelihoods_but_last(self) -> Tensor:
        """``(count,)`` the same without the last token of each chunk."""
        chunks = self.chunks[:, 1:]
        goes_on = torch.zeros_like(chunks, dtype=torch.bool)
        goes_on[:, :-1] = chunks[:, :-1] == chunks[:, 1:]
        return self._sums((chunks >= 0) & goes_on, _token_log_likelihoods)

    def own_logits(self) -> Tensor:
        """``(count,)`` logits of a chunk's own tokens, summed."""
        return self._sums(self.chunks[:, 1:] >= 0, _token_logits)

    def _sums(self, inside: Tensor, function: Callable[..., Tensor]) -> Tensor:
        """Sums by chunk over tokens; ``inside``: ``(B, L - 1)`` which of those after the first."""
        states, ids = self.hidden[:, :-1][inside], self.ids[:, 1:][inside]
        parts = [self._again(function, states[at], ids[at]) for at in self._blocks(ids)]
        values = torch.cat([states.new_zeros(0, dtype=torch.float32), *parts])
        sums = values.new_zeros(self.count)
        return sums.index_add(0, self.chunks[:, 1:][inside], values)

    def log_boundaries(self) -> Tensor:
        """``(count,)`` log-probability that a token of ``begins`` follows a chunk; 0 of none."""
        assert self.begins is not None
        begins = self.begins
        numbers, places = self._places("amax")
        states = self.hidden.flatten(0, 1)[places]
        parts = [self._again(_log_mass, states[at], begins) for at in self._blocks(places)]
        values = torch.cat([states.new_zeros(0, dtype=torch.float32), *parts])
        return values.new_zeros(self.count).index_add(0, numbers, values)

    def first_states(self) -> tuple[Tensor, Tensor]:
        """Ascending numbers of the chunks, and ``(n, D)`` states that predict their first token."""
        numbers, first = self._places("amin")
        return numbers, self.hidden.flatten(0, 1)[first - 1]

    def first_ids(self) -> Tensor:
        """``(n,)`` first tokens of the chunks, by ascending number."""
        return self.ids.flatten()[self._places("amin")[1]]

    def last_states(self) -> tuple[Tensor, Tensor]:
        """Ascending numbers of the chunks, and ``(n, D)`` states that predict their last token."""
        numbers, last = self._places("amax")
        return numbers, self.hidden.flatten(0, 1)[last - 1]

    def logits(self, states: Tensor) -> Tensor:
        """``(n, V)`` float32."""
        return _logits(states, self.weight, self.bias, self.softcap, self.scale)

    def _places(self, which: str) -> tuple[Tensor, Tensor]:
        """Ascending numbers of the chunks that are there, and the flat place of a token of each.

        ``which``: ``amin`` for the first token, ``amax`` for the last.
        """
        flat = self.chunks.flatten()
        inside = (flat >= 0).nonzero().flatten()
        numbers, owner = flat[inside].unique(return_inverse=True)
        places = torch.empty_like(numbers)
        return numbers, places.scatter_reduce(0, owner, inside, which, include_self=False)

    def _blocks(self, rows: Tensor) -> list[slice]:
        size = self.block or max(1, len(rows))
        return [slice(at, at + size) for at in range(0, len(rows), size)]

    def _again(self, function: Callable[..., Tensor], states: Tensor, other: Tensor) -> Tensor:
        """A function of logits that are formed again for the gradients."""
        given = (states, self.weight, self.bias, self.softcap, self.scale, other)
        if not torch.is_grad_enabled():
            return function(*given)
        again: Tensor = checkpoint(function, *given, use_reentrant=False)
        return again


def _logits(
    states: Tensor, weight: Tensor, bias: Tensor | None, softcap: float | None, scale: float
) -> Tensor:
    raw = (states.to(weight.dtype) @ weight.T).float()
    if bias is not None:
        raw = raw + bias.float()
    raw = raw * scale
    return raw if softcap is None else softcap * torch.tanh(raw / softcap)


def _token_log_likelihoods(
    states: Tensor, weight: Tensor, bias: Tensor | None, softcap: float | None, scale: float,
    ids: Tensor,
) -> Tensor:  # fmt: skip
    logits = _logits(states, weight, bias, softcap, scale)
    return logits.gather(1, ids[:, None])[:, 0] - logits.logsumexp(1)


def _token_logits(
    states: Tensor, weight: Tensor, bias: Tensor | None, softcap: float | None, scale: float,
    ids: Tensor,
) -> Tensor:  # fmt: skip
    return _logits(states, weight, bias, softcap, scale).gather(1, ids[:, None])[:, 0]


def _log_mass(
    states: Tensor, weight: Tensor, bias: Tensor | None, softcap: float | None, scale: float,
    begins: Tensor,
) -> Tensor:  # fmt: skip
    logits = _logits(states, weight, bias, softcap, scale)
    some = logits[:, begins].logsumexp(1)
    return some - logits.logsumexp(1)
