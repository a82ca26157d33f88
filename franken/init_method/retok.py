"""ReTok (arXiv 2410.04335): new tables from the old ones, then trained with the body frozen.

The abstract says that the tables start "with the parameters of the original model"; that new tokens
start at the mean of their old pieces is inferred. This fits the start; the training is
``franken/training/learners/retok.py``. Thawing the body, the paper's second phase, is a step of a
recipe.
"""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

from franken.config.training import Schedule, TrainingConfig
from franken.declare import option
from franken.init_method.base import LearnedInit
from franken.lazy import later

with later():
    from franken.training.learners import LearnedRows, LearnTask, retok


@option
class RetokInit(LearnedInit):
    """Trains the embeddings alone on target text, from the subtoken mean (ReTok)."""

    paper: ClassVar[str] = "ReTok, arXiv 2410.04335"

    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            steps=100, batch_size=16, lr=1e-3, schedule=Schedule.cosine, warmup=0.05
        )
    )
    """Schedule of the training, on the adaptation split."""

    def learn(self, task: LearnTask) -> LearnedRows:
        """The training."""
        return retok.learn(task, self)
