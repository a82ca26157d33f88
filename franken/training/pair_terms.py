"""What a training module asks of sentence pairs."""

from typing import Protocol

from torch import Tensor
from transformers import PreTrainedModel

from franken.training.batches import Batch


class PairTerms(Protocol):
    """The loss of a batch of sentence pairs."""

    def terms(
        self, model: PreTrainedModel, batch: Batch, *, narrow: bool = False
    ) -> dict[str, Tensor]:
        """Its terms by name, weighted, each a mean over pairs."""
        ...
