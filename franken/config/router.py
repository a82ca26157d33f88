"""Options of the group ``router``: which SkillPack answers which request."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from franken.config.checks import at_least, in_range


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
class RouterConfig:
    """What every router has."""

    name: str = "none"


@dataclass
class OracleRouter(RouterConfig):
    """The task says which pack: ``packs`` of the step names it (the paper's manual map)."""

    name: str = "oracle"


@dataclass
class TrainedRouter(RouterConfig):
    """A small network on features of the model without packs, trained on the packs' losses."""

    name: str = "trained"
    level: RouterLevel = RouterLevel.sequence
    feature: RouterFeature = RouterFeature.hidden
    depth: float = 0.5
    """hidden: the layer, as a share of all; unstated in the paper."""
    width: int = 256
    """Hidden units; 0 is a linear classifier. Unstated in the paper."""
    dropout: float = 0.1
    temperature: float = 0.5
    """Labels are softmax(-loss / temperature) over the packs and the model without one."""
    examples: int = 600
    """Instructions of the training split, whose losses under every pack are the labels."""
    epochs: int = 40
    lr: float = 3e-3
    batch_size: int = 64
    abstain: float = 0.0
    """Below this probability of the best pack the model answers without one."""
    top_k: int = 1
    """Packs that answer together; their predictions are mixed by their weights (graftllm notes,
    4.6: an ensemble, not a sum of changes)."""
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


OPTIONS: dict[str, type] = {
    "none": RouterConfig, "oracle": OracleRouter, "trained": TrainedRouter,
}  # fmt: skip
"""Schema name -> class."""
