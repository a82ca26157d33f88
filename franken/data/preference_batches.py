"""The data side of preference tuning: pairs of answers as batches, one pair to a row."""

import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from franken.config.training import TrainingConfig
from franken.data.collate import collate
from franken.data.corpus import TokenCorpus, write_corpus
from franken.data.encoding import RecordEncoder
from franken.data.packing import Piece
from franken.data.row_loader import RowLoader
from franken.data.source import Instruction, Preference
from franken.errors import DataError
from franken.files import hash_json, sha256_file

logger = logging.getLogger(__name__)

WIDTH = 8
"""Rows are padded to a multiple of so many tokens."""
EVERYTHING = 1 << 62


class PreferenceDataModule(LightningDataModule):
    """Tokenises pairs once and serves them in a shuffled order, with a position to resume.

    Batches are those of ``franken.data.collate``, a row being ``prompt + chosen`` (segment 1) and
    ``prompt + rejected`` (segment 2), with ``reference`` ``(B, 2)`` once it is set. A row is as
    wide as the batch's longest pair.
    """

    def __init__(
        self,
        pairs: Iterable[Preference],
        held_out: Iterable[Preference],
        tokenizer: PreTrainedTokenizerBase,
        training: TrainingConfig,
        seed: int,
        work_dir: Path,
        chat: str = "off",
    ) -> None:
        """Nothing is read before ``setup``.

        Args:
            pairs: to train on.
            held_out: for validation; may be empty.
            tokenizer: of the model.
            training: ``batch_size`` counts pairs, ``sequence_length`` bounds one answer with its
                prompt.
            seed: of the order.
            work_dir: tokens lie in ``work_dir/tokens``.
            chat: whether prompts are put in the chat template, as ``data.chat``.
        """
        super().__init__()
        self._raw = {"train": pairs, "valid": held_out}
        self.encoder = RecordEncoder(tokenizer, chat)
        self.training, self.seed = training, seed
        self.directory = Path(work_dir) / "tokens"
        self.sides: dict[str, Pairs] = {}
        self.reference: Tensor | None = None
        self._loader: RowLoader | None = None

    def prepare_data(self) -> None:
        """Nothing beyond ``setup``: pairs are few."""

    def setup(self, stage: str | None = None) -> None:
        """Tokenise; calling it again changes nothing.

        Raises:
            DataError: where no pair is left to train on.
        """
        if self.sides:
            return
        length = self.training.sequence_length
        sides = {
            name: Pairs.of(raw, self.encoder, self.directory / name, length)
            for name, raw in self._raw.items()
        }
        found = sides["train"]
        if not found.count:
            raise DataError(
                f"no pair is left to train on: {found.given} were given, {found.too_long} are "
                f"longer than training.sequence_length={length}, {found.equal} have two answers of "
                "the same tokens"
            )
        if found.too_long or found.equal:
            logger.warning(
                "of %d pairs %d are too long (training.sequence_length=%d) and %d have equal "
                "answers; they are left out", found.given, found.too_long, length, found.equal,
            )  # fmt: skip
        self.sides = sides
        self._raw.clear()  # what is left can be sent to other processes

    @property
    def pair_count(self) -> int:
        """Pairs for training, then those for validation."""
        return self.sides["train"].count + self.sides["valid"].count

    def batch_of(self, numbers: Sequence[int]) -> dict[str, Any]:
        """The batch of these pairs."""
        own = self.sides["train"]
        rows = [
            own.row(number) if number < own.count else self.sides["valid"].row(number - own.count)
            for number in numbers
        ]
        widest = max(pieces[1].stop - pieces[0].start for _, pieces in rows)
        batch: dict[str, Any] = collate(rows, -(-widest // WIDTH) * WIDTH, self.encoder.pad)
        if self.reference is not None:
            batch["reference"] = self.reference[torch.as_tensor(list(numbers))]
        return batch

    def fingerprint(self) -> str:
        """Hash of the tokens of all pairs."""
        return hash_json([side.fingerprint for side in self.sides.values()])

    def train_dataloader(self) -> RowLoader:
        """The one training loader."""
        self.setup()
        if self._loader is None:
            self._loader = RowLoader(self, self.sides["train"].count, "pairs")
        return self._loader

    def val_dataloader(self) -> list[dict[str, Any]]:
        """Fixed batches of held-out pairs; one smaller than the rest only where it is alone."""
        self.setup()
        rows, first = self.rows, self.sides["train"].count
        starts = range(first, max(first + 1, self.pair_count - rows + 1), rows)
        if not self.sides["valid"].count:
            return []
        return [
            self.batch_of(range(start, min(start + rows, self.pair_count)))
            for start in starts[: self.training.validation_batches]
        ]

    @property
    def rows(self) -> int:
        """Pairs of a forward pass."""
        return self.training.batch_size // self.training.accumulate

    def mixture_report(self) -> dict[str, Any]:
        """How many pairs there are and how often training sees them; plain JSON values."""
        self.setup()
        own = self.sides["train"]
        seen = self.training.steps * self.training.batch_size
        return {
            "pairs": own.count, "given": own.given, "too_long": own.too_long, "equal": own.equal,
            "held_out": self.sides["valid"].count, "epochs": round(seen / own.count, 3),
            "mean_tokens": own.mean_tokens(),
        }  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """The loader has the position."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to set."""


class Pairs:
    """Tokenised pairs: records ``2 p`` (chosen) and ``2 p + 1`` (rejected) of a corpus."""

    def __init__(self, corpus: TokenCorpus, length: int, fingerprint: str) -> None:
        """Args: the ``corpus``, the longest answer with its prompt, and the tokens' hash."""
        self.corpus, self.fingerprint = corpus, fingerprint
        lengths = np.diff(corpus.offsets).reshape(-1, 2)
        fit = (lengths <= length).all(axis=1)
        same = lengths[:, 0] == lengths[:, 1]
        for number in np.flatnonzero(same):
            one, other = (self._tokens(2 * int(number) + side) for side in (0, 1))
            same[number] = np.array_equal(one, other)
        self.given = len(lengths)
        self.too_long = int((~fit).sum())
        self.equal = int((fit & same).sum())
        self._kept = np.flatnonzero(fit & ~same)

    @classmethod
    def of(
        cls, pairs: Iterable[Preference], encoder: RecordEncoder, directory: Path, length: int
    ) -> "Pairs":
        """Tokenise pairs into a directory, which is replaced.

        Raises:
            DataError: where an answer has no token.
        """
        if directory.exists():
            shutil.rmtree(directory)
        corpus = write_corpus(_sides(pairs), encoder, directory, max_tokens=EVERYTHING)
        if corpus.meta["skipped"]:
            raise DataError(
                f"{corpus.meta['skipped']} answers of the preferences come to no token under the "
                "model's tokenizer; leave these pairs out"
            )
        files = ("tokens.bin", "offsets.bin", "silent.bin")
        content = hash_json([sha256_file(directory / name) for name in files])
        return cls(corpus, length, hash_json([content, length]))

    @property
    def count(self) -> int:
        """Pairs that can be trained on."""
        return len(self._kept)

    def mean_tokens(self) -> list[float]:
        """Tokens of chosen and of rejected answers, end token included, on average."""
        if not self.count:
            return [0.0, 0.0]
        lengths = np.diff(self.corpus.offsets) - self.corpus.silent
        means = lengths.reshape(-1, 2)[self._kept].mean(axis=0)
        return [round(float(mean), 2) for mean in means]

    def row(self, number: int) -> tuple[npt.NDArray[np.unsignedinteger[Any]], list[Piece]]:
        """Tokens of the pair with this number, and where the answers stand among them."""
        first = 2 * int(self._kept[number])
        offsets, silent = self.corpus.offsets, self.corpus.silent
        start, middle, stop = (int(offsets[first + step]) for step in range(3))
        pieces = [
            Piece(0, middle - start, int(silent[first])),
            Piece(middle - start, stop - start, int(silent[first + 1])),
        ]
        return self.corpus.tokens[start:stop], pieces

    def _tokens(self, record: int) -> npt.NDArray[Any]:
        return self.corpus.tokens[self.corpus.offsets[record] : self.corpus.offsets[record + 1]]


def _sides(pairs: Iterable[Preference]) -> Iterator[Instruction]:
    for pair in pairs:
        yield Instruction(pair.prompt, pair.chosen)
        yield Instruction(pair.prompt, pair.rejected)
