"""What every helper model has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from franken.config.trainer import TrainerConfig
    from franken.parts.table import Table

Texts = Mapping[str, Callable[[], Iterable[str]]]
"""Language -> opens a stream of its lines anew."""


@dataclass
class HelperModel:
    """Gives the table of a target-language model over the target tokenizer."""

    trains: ClassVar[bool] = True
    """Whether it is trained on the text of the data; false where it is a checkpoint."""

    name: str = ""
    """The option."""

    def checkpoint(self) -> tuple[str, str | None]:
        """Directory or hub id, and revision, of what is read; its files are in the step's key."""
        return "", None

    def table(
        self, tokenizer: PreTrainedTokenizerBase, texts: Texts, trainer: TrainerConfig, seed: int
    ) -> tuple[Table, dict[str, Any]]:
        """The table, and a report of it as plain JSON.

        Args:
            tokenizer: the target tokenizer.
            texts: of the target languages.
            trainer: where to train.
            seed: of weights, order and masks.

        Raises:
            CompatibilityError: where the vocabulary is another.
        """
        raise NotImplementedError
