"""Token distillation (AweDist; arXiv 2505.20133): the map before training.

The paper starts from the subtoken mean; ``start=weighted_pooling`` is its AdaptiVocab variant. The
training is ``franken/training/learners/token_distillation.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.init_method.base import LearnedInit
from franken.lazy import later

with later():
    from franken.training.learners import LearnedRows, LearnTask, token_distillation


class DistilTarget(StrEnum):
    """What the student shall reproduce."""

    hidden = "hidden"
    """Hidden states of one layer (mean squared difference)."""
    logits = "logits"
    """The distribution over the source vocabulary (Kullback-Leibler divergence)."""


@option
class TokenDistillationInit(LearnedInit):
    """Trains new input rows to be read as their old pieces are (token distillation)."""

    paper: ClassVar[str] = "AweDist, arXiv 2505.20133"

    target: DistilTarget = DistilTarget.hidden
    layer: int = -1
    """Layer whose states are compared: -1 is the last (after the final norm), 0 the embeddings."""
    cross_entropy: bool = False
    """Add the loss of predicting the new tokens, weighted to equal the distillation loss: trains
    the head's rows of untied models, which keep the start otherwise."""
    snippet_tokens: int = 50
    """Source tokens of one snippet of text."""
    snippets: int = 25
    """Snippets read per new token, at most (paper 25, release 100)."""
    min_snippets: int = 1
    """New tokens with fewer snippets keep the start."""
    megabytes: float = 50.0
    """Text searched per target language."""
    epochs: int = 1
    """Passes over the snippets."""
    batch_size: int = 16
    """Snippets per step."""
    lr: float = 1e-3
    """The release has 1e-4, for models whose rows are smaller."""
    warmup: float = 0.1
    """Warm-up as a share of the steps; then linear decay, as in the paper."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        for key, minimum in (
            ("snippet_tokens", 2), ("snippets", 1), ("min_snippets", 1), ("epochs", 1),
            ("batch_size", 1), ("lr", 0.0), ("megabytes", 0.0),
        ):  # fmt: skip
            yield from at_least(key, getattr(self, key), minimum)

    def learn(self, task: LearnTask) -> LearnedRows:
        """The training."""
        return token_distillation.learn(task, self)
