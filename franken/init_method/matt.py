"""MATT (arXiv 2510.21954): the map before rows are trained to be attended to as their pieces were.

Segments are the finest stretches that both tokenizers cut at, here of bytes. At one layer, for head
h, the last token of stretch i takes ``u_ij = sum_{k in j} A_h[i, k] v_h[k]`` from stretch j; the
loss is the mean squared difference between the old pieces' u (teacher) and the new ones' over heads
and pairs. The body is frozen and input rows alone move. The training is
``franken/training/learners/matt.py``.

Departures: the release cuts the model at the layer, here the pass ends there; stretches that are no
segments in the release (the first of a document, which most heads look at) count with
``keep_first``; the start is the subtoken mean, FOCUS there (``start=focus``); an untied head keeps
the start, for which the paper trains at full depth with the next-token loss beside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import in_range
from franken.config.training import Schedule, TrainingConfig
from franken.declare import option
from franken.init_method.base import LearnedInit
from franken.lazy import later

with later():
    from franken.training.learners import LearnedRows, LearnTask, matt


class Influence(StrEnum):
    """What is compared."""

    full = "full"
    """Every stretch's influence on every later one."""
    star = "star"
    """Their sum over what is attended to: the head's output."""


class Distance(StrEnum):
    """How influences are compared."""

    mse = "mse"
    """Mean squared difference; better for generation, the paper finds."""
    cosine = "cosine"
    """1 less the cosine; better for classification."""


@option
class MattInit(LearnedInit):
    """Trains new input rows to be attended to as their old pieces are (MATT)."""

    paper: ClassVar[str] = "MATT, arXiv 2510.21954"

    layer: float = 0.33
    """Depth of the layer whose attention is compared, as a share of the layers."""
    variant: Influence = Influence.full
    distance: Distance = Distance.mse
    overlap: bool = False
    """Move the rows of shared pieces too; the paper freezes them for one language and frees them
    for five and more."""
    keep_first: bool = False
    """The first stretch of a document counts as well."""
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            steps=100, batch_size=4, sequence_length=256, lr=1e-3, schedule=Schedule.constant,
            warmup=0.05,
        )
    )  # fmt: skip
    """Schedule of the training, on the adaptation split: steps, batch, length, rate, betas and
    clipping count."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from in_range("layer", self.layer, 0.0, 1.0)

    def learn(self, task: LearnTask) -> LearnedRows:
        """The training."""
        return matt.learn(task, self)
