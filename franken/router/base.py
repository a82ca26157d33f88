"""What every router has, and what those that learn share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import at_least, in_range
from franken.lazy import later

with later():
    from torch import nn


class RouterLevel(StrEnum):
    """What gets a pack of its own."""

    sequence = "sequence"
    """The request: one pack from its prompt."""
    token = "token"
    """Every token: the packs' predictions are mixed by weights of the token's state."""


class RouterFeature(StrEnum):
    """What a router looks at; always of the model without any pack."""

    embedding = "embedding"
    """Input embeddings: no forward pass."""
    hidden = "hidden"
    """Hidden states in the middle of the model: one prefill."""


@dataclass
class Router:
    """Picks one of several SkillPacks, or none, for a request."""

    by_task: ClassVar[bool] = False
    """Whether the task says which pack: ``tasks`` of the step names it."""
    version: ClassVar[int] = 1
    """Code version: raised when a change of its code changes results, so that keys change."""

    name: str = "none"
    """The router."""


@dataclass
class LearnedRouter(Router):
    """A small network on features of the model without packs, trained on the packs' losses.

    Subclasses say its defaults; another network is another :meth:`network`.
    """

    level: RouterLevel = RouterLevel.sequence
    """What gets a pack of its own."""
    feature: RouterFeature = RouterFeature.hidden
    """What it looks at, of the model without any pack."""
    depth: float = 0.5
    """hidden: the layer, as a share of all; unstated in the paper."""
    width: int = 256
    """Hidden units; 0 is a linear classifier. Unstated in the paper."""
    dropout: float = 0.1
    """Share of the hidden units that a training step leaves out."""
    temperature: float = 0.5
    """Labels are softmax(-loss / temperature) over the packs and the model without one."""
    examples: int = 600
    """Instructions of the training split, whose losses under every pack are the labels."""
    epochs: int = 40
    """Passes over the examples."""
    lr: float = 3e-3
    """Learning rate of AdamW."""
    batch_size: int = 64
    """Examples per step; at the level of tokens, tokens."""
    abstain: float = 0.0
    """Below this probability of the best pack the model answers without one."""
    top_k: int = 1
    """Packs that answer together; their predictions are mixed by their weights: an ensemble, not a
    sum of changes."""
    prefix_tokens: int = 16
    """sequence: what the router sees of a text without a prompt (bits per byte): its first tokens,
    whose pack then answers for the whole text, these tokens included. Of a request with a prompt
    it sees the prompt alone."""
    with_base: bool = True
    """Whether the model without a pack is a choice of its own."""

    def faults(self) -> Iterator[tuple[str, str]]:
        for key, least in (
            ("width", 0), ("examples", 8), ("epochs", 1), ("batch_size", 1), ("top_k", 1),
            ("lr", 0.0), ("temperature", 1e-6), ("prefix_tokens", 1),
        ):  # fmt: skip
            yield from at_least(key, getattr(self, key), least)
        for key in ("depth", "dropout", "abstain"):
            yield from in_range(key, getattr(self, key), 0.0, 1.0)

    def network(self, size: int, choices: int) -> nn.Module:
        """Standardised features ``(N, size)`` to logits ``(N, choices)``, the base's first."""
        if not self.width:
            return nn.Linear(size, choices)
        return nn.Sequential(
            nn.Linear(size, self.width), nn.ReLU(), nn.Dropout(self.dropout),
            nn.Linear(self.width, choices),
        )  # fmt: skip
