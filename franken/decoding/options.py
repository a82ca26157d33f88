"""How to decode, and what it gives."""

import math
from dataclasses import dataclass
from enum import StrEnum

from franken.errors import ConfigError


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
        min_new_tokens: an end token is not chosen before so many.
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
    stopped: bool = False
    """Whether the text needs no more (``Ends.over``); its last ids may be cut off."""
