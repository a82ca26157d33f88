"""The data side of heads: texts with labels as batches, one text to a row."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from pytorch_lightning import LightningDataModule

from franken.config.training import TrainingConfig
from franken.data.collate import IGNORED
from franken.data.labelled import Labelled
from franken.data.labelled_encoding import encode
from franken.data.row_loader import RowLoader
from franken.errors import DataError
from franken.files import hash_json
from franken.parts.label_set import LabelSet

WIDTH = 8
"""Rows are padded to a multiple of so many tokens."""


class LabelledDataModule(LightningDataModule):
    """Serves labelled texts in a shuffled order, with a position to resume.

    A batch has ``input_ids``, ``labels`` (-100 where a token carries none; a label of a whole text
    stands at its first token), ``segment_ids`` (1 text, 0 padding); all ``(B, L)``.
    """

    def __init__(
        self,
        texts: Sequence[Labelled],
        held_out: Sequence[Labelled],
        labels: LabelSet,
        tokenizer: Any,
        training: TrainingConfig,
        seed: int,
        longest: int | None = None,
    ) -> None:
        """Texts are few, so they are encoded at once.

        Args:
            texts: to train on.
            held_out: for validation; may be empty. Texts with other labels are left out.
            labels: what is told apart.
            tokenizer: of the model.
            training: ``batch_size`` counts texts; ``sequence_length`` bounds each.
            seed: of the order.
            longest: tokens that the model can read.

        Raises:
            DataError: where no text has a label that is read.
        """
        super().__init__()
        self.labels, self.training, self.seed = labels, training, seed
        pad = tokenizer.pad_token_id
        self.pad = 0 if pad is None else int(pad)
        length = min(training.sequence_length, longest or training.sequence_length)
        known = labels.index()
        valid = [text for text in held_out if set(text.labels) <= set(known)]
        self._rows: list[_Row] = []
        for text in (*texts, *valid):
            ids, places, words = encode(tokenizer, text, labels.unit, length)
            self._rows.append(_Row(ids, places, [known[text.labels[word]] for word in words]))
        self.count = len(texts)
        if not any(row.places for row in self._rows[: self.count]):
            raise DataError(
                f"none of {self.count} labelled texts has a token that carries a label within "
                f"{length} tokens; raise training.sequence_length"
            )
        self._loader: RowLoader | None = None

    @property
    def rows(self) -> int:
        """Texts of a forward pass."""
        return self.training.batch_size // self.training.accumulate

    def batch_of(self, numbers: Sequence[int]) -> dict[str, Any]:
        """The batch of these rows."""
        rows = [self._rows[number] for number in numbers]
        width = -(-max(len(row.ids) for row in rows) // WIDTH) * WIDTH
        ids = torch.full((len(rows), width), self.pad)
        labels, segments = torch.full_like(ids, IGNORED), torch.zeros_like(ids)
        for at, row in enumerate(rows):
            ids[at, : len(row.ids)] = torch.tensor(row.ids)
            segments[at, : len(row.ids)] = 1
            labels[at, row.places] = torch.tensor(row.labels)
        return {"input_ids": ids, "labels": labels, "segment_ids": segments}

    def fingerprint(self) -> str:
        """Hash of all rows."""
        return hash_json([[row.ids, row.places, row.labels] for row in self._rows])

    def train_dataloader(self) -> RowLoader:
        """The one training loader."""
        if self._loader is None:
            self._loader = RowLoader(self, self.count, "labelled")
        return self._loader

    def val_dataloader(self) -> list[dict[str, Any]]:
        """Fixed batches of held-out texts."""
        stop = len(self._rows)
        starts = range(self.count, stop, self.rows)[: self.training.validation_batches]
        return [self.batch_of(range(at, min(at + self.rows, stop))) for at in starts]

    def mixture_report(self) -> dict[str, Any]:
        """How many texts there are and how often training sees them; plain JSON values."""
        seen = self.training.steps * self.training.batch_size
        return {
            "texts": self.count, "held_out": len(self._rows) - self.count,
            "labels": list(self.labels.names), "epochs": round(seen / self.count, 3),
        }  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """The loader has the position."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to set."""


class _Row(NamedTuple):
    """Ids, and the number of the label at each place."""

    ids: list[int]
    places: list[int]
    labels: list[int]
