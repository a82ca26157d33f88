"""The data side of a training phase: a mixture of a data source as packed batches."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningDataModule
from transformers import PreTrainedTokenizerBase

from franken.config.amounts import bytes_of
from franken.config.data import Mixture, Sampling, Unit
from franken.config.training import TrainingConfig
from franken.data.budget import steps_for_bytes, text_bytes_of_tokens
from franken.data.corpus import TokenCorpus
from franken.data.encoding import RecordEncoder
from franken.data.loader import BatchShape, FixedBatches, PackedLoader, Planner
from franken.data.marker_mask import MarkerMask
from franken.data.mixing import StreamKey, stream_probabilities
from franken.data.named_entities import with_names
from franken.data.packing import Packer
from franken.data.report import mixture_report
from franken.data.source import TRAIN, VALID, DataSource
from franken.data.streams import WHOLE_ROLES, StreamBuilder
from franken.errors import CompatibilityError, ConfigError, DataError
from franken.seeds import derive_seed

logger = logging.getLogger(__name__)

BUDGET_MARGIN = 1.1
"""Streams are opened for more steps than a budget in bytes takes by the look of their heads."""
CAP_MARGIN = 1.02
"""Streams are tokenised up to this multiple of what training can use of them."""


class TextDataModule(LightningDataModule):
    """Tokenises the streams of a mixture once and serves packed batches of them.

    Batches are dicts of ``(B, L)`` int64 tensors, see ``franken.data.collate``. The position of the
    training loader is part of ``state_dict``.
    """

    def __init__(
        self,
        source: DataSource,
        mixture: Mixture,
        tokenizer: PreTrainedTokenizerBase,
        training: TrainingConfig,
        seed: int,
        work_dir: Path,
        source_language: str,
        languages: Sequence[str],
        *,
        rank: int | None = None,
        world_size: int | None = None,
        workers: int = 1,
    ) -> None:
        """Nothing is read before ``setup``.

        Args:
            source: Where the text comes from.
            mixture: What the phase is made of.
            tokenizer: Vocabulary to train with.
            training: Batch shape and number of steps.
            seed: Of the order and the draws.
            work_dir: Tokenised streams lie in ``work_dir/tokens`` and are used again from there.
            source_language: Language that the base model knows.
            languages: Target languages; a mixture that names none has these and the source's.
            rank: Of this process; ``None`` asks the trainer.
            world_size: Number of processes; ``None`` asks the trainer.
            workers: Processes that tokenise long streams.
        """
        super().__init__()
        self.mixture = mixture
        self.training = training
        self.seed = seed
        self.builder = StreamBuilder(
            with_names(source, mixture),
            mixture,
            RecordEncoder(tokenizer, chat=str(source.config.chat)),
            Path(work_dir) / "tokens",
            source_language,
            tuple(languages),
            training.sequence_length,
            workers=workers,
        )
        names = mixture.names
        self._silence = MarkerMask(names, tokenizer.get_vocab()) if names else None
        self._ranks = (rank, world_size)
        self._roles: set[str] = set()
        self._corpora: dict[StreamKey, TokenCorpus] = {}
        self._valid: dict[StreamKey, TokenCorpus] = {}
        self._probabilities: dict[StreamKey, float] = {}
        self._loader: PackedLoader | None = None
        self._pending: dict[str, Any] | None = None

    def prepare_data(self) -> None:
        """Tokenise, once per machine; ``setup`` then finds the streams in the work directory."""
        self._open()

    def setup(self, stage: str | None = None) -> None:
        """Open the streams and place the loader; calling it again changes nothing."""
        if self._loader is not None:
            return
        self._open()
        config = self.training
        planner = self._planner(TRAIN, self._corpora)
        self._loader = PackedLoader(planner, self._shape(), config.steps, self.builder.encoder.pad)
        if self._pending is not None:
            self._loader.load_state_dict(self._pending)
            self._pending = None

    def fix_steps(self) -> TrainingConfig:
        """The schedule with ``steps`` as ``training.budget`` asks; as it is without a budget.

        Text of each stream is read and tokenised for this, as for training.
        """
        config = self.training
        if config.budget is None:
            return config
        budget = bytes_of(config.budget)
        sizes = self.text_bytes
        if sizes is None:
            raise ConfigError(
                f"training.budget={config.budget} counts bytes of text, which this tokenizer's "
                "pieces do not tell; set training.steps instead"
            )
        per_token = self.builder.bytes_per_token(sizes)
        per_step = config.batch_size * config.sequence_length * per_token
        self.training = replace(config, steps=max(1, math.ceil(BUDGET_MARGIN * budget / per_step)))
        self._open()
        steps, _ = steps_for_bytes(self._planner(TRAIN, self._corpora), sizes, budget)
        self.training = replace(config, steps=steps)
        return self.training

    @cached_property
    def text_bytes(self) -> Any:
        """``(V,)`` bytes of text per token id; ``None`` where pieces do not tell."""
        try:
            return text_bytes_of_tokens(self.builder.encoder.tokenizer)
        except CompatibilityError as error:
            logger.warning("training counts no bytes of text: %s", error)
            return None

    def train_dataloader(self) -> PackedLoader:
        """The one training loader; its length is ``steps * accumulate`` batches."""
        self.setup()
        assert self._loader is not None
        return self._loader

    def val_dataloader(self) -> FixedBatches | list[Any]:
        """The fixed validation batches; an empty list where the data hold no validation text."""
        self.setup()
        if not self._valid:
            return []
        planner = self._planner(VALID, self._valid)
        tokens = sum(corpus.size.tokens for corpus in self._valid.values())
        shape = self._shape()
        per_batch = shape.rows * shape.world_size * shape.length
        count = max(1, min(self.training.validation_batches, tokens // per_batch))
        return FixedBatches(planner, shape, count, self.builder.encoder.pad)

    def mixture_report(self) -> dict[str, Any]:
        """What each stream holds and how often training repeats it; plain JSON values."""
        self.setup()
        return mixture_report(
            self._corpora, self._valid, self._probabilities, self._budget(), self.training
        )

    def state_dict(self) -> dict[str, Any]:
        """Position of the training loader."""
        if self._loader is None:
            return {}
        return {"loader": self._loader.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set the training loader back; before ``setup`` the position is kept until then."""
        position = state_dict.get("loader")
        if position is None:
            return
        if self._loader is None:
            self._pending = position
        else:
            self._loader.load_state_dict(position)

    def _budget(self) -> int:
        """Tokens of the whole phase."""
        config = self.training
        return config.steps * config.batch_size * config.sequence_length

    def _shape(self) -> BatchShape:
        config = self.training
        rank, world_size = self._ranks
        if self.trainer is not None:
            rank = self.trainer.global_rank if rank is None else rank
            world_size = self.trainer.world_size if world_size is None else world_size
        return BatchShape(
            config.batch_size, config.sequence_length, config.accumulate, rank or 0, world_size or 1
        )

    def _open(self) -> None:
        if self._corpora:
            return
        corpora: dict[StreamKey, TokenCorpus] = {}
        valid: dict[StreamKey, TokenCorpus] = {}
        keys = self.builder.stream_keys()
        self._roles = {key.role for key in keys}
        for key in keys:
            corpora[key] = self.builder.corpus(key, TRAIN, self._cap(key))
            if corpora[key].size.records == 0:
                raise DataError(f"the stream {key} is empty: {self.builder.why_empty(key)}")
            held_out = self.builder.corpus(key, VALID, self._valid_cap(key))
            if held_out.size.records:
                valid[key] = held_out
        sizes = {key: corpus.size for key, corpus in corpora.items()}
        self._probabilities = stream_probabilities(
            sizes, self.mixture, self._budget(), self.builder.source_language
        )
        self._corpora, self._valid = corpora, valid
        self._warn_of_repetition()

    def _warn_of_repetition(self) -> None:
        """UniMax caps parts, not totals: where all data together are too few, N is exceeded."""
        if self.mixture.sampling is not Sampling.unimax:
            return
        for key, corpus in sorted(self._corpora.items()):
            epochs = self._probabilities[key] * self._budget() / corpus.size.tokens
            if epochs > 1.01 * self.mixture.unimax_epochs:
                logger.warning(
                    "training repeats %s %.1f times, more than unimax_epochs=%g: the data are few "
                    "for %d steps", key, epochs, self.mixture.unimax_epochs, self.training.steps,
                )  # fmt: skip

    def _cap(self, key: StreamKey) -> int:
        """Tokens beyond which a stream is not read: what it could provide at the very most."""
        return int(self._budget() * self._share(key) * CAP_MARGIN) + self.training.sequence_length

    def _valid_cap(self, key: StreamKey) -> int:
        config = self.training
        sequences = config.validation_batches * config.batch_size // config.accumulate
        return int((sequences * self._share(key) + 1) * config.sequence_length * CAP_MARGIN)

    def _share(self, key: StreamKey) -> float:
        """The largest share of the tokens that a stream can have."""
        shares = self.mixture.shares
        if self.mixture.unit is Unit.instances:
            return 1.0
        return shares[key.role] / sum(shares[role] for role in self._roles)

    def _planner(self, split: str, corpora: dict[StreamKey, TokenCorpus]) -> Planner:
        length = self.training.sequence_length
        packers = {
            key: Packer(
                corpus,
                length,
                derive_seed(self.seed, "order", split, key.role, key.language),
                whole=key.role in WHOLE_ROLES,
            )
            for key, corpus in corpora.items()
        }
        seed = derive_seed(self.seed, "loader", split)
        batch = self.training.batch_size
        return Planner(packers, self._probabilities, batch, seed, self._silence)
