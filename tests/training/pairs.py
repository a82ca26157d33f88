"""Pairs of answers for tiny models, without text."""

from collections.abc import Sequence
from pathlib import Path

from franken.config.training import TrainingConfig
from franken.data.preference_batches import PreferenceDataModule
from franken.data.source import Preference
from tests.data.conftest import word_tokenizer

PAIRS = [
    Preference("ab", "cd", "e"),
    Preference("b", "a", "fgh"),
    Preference("cab", "ee", "dd"),
    Preference("abcd", "f", "gggg"),
    Preference("h", "bad", "cafe"),
]


def tiny_training(**changes: object) -> TrainingConfig:
    settings = {"steps": 4, "batch_size": 2, "sequence_length": 16, "lr": 1e-2,
                "checkpoint_every": 2}  # fmt: skip
    return TrainingConfig(**{**settings, **changes})  # type: ignore[arg-type]


def pair_data(
    work_dir: Path, training: TrainingConfig, pairs: Sequence[Preference] = PAIRS,
    held_out: Sequence[Preference] = (), seed: int = 1,
) -> PreferenceDataModule:  # fmt: skip
    """Characters as tokens: ids below 120."""
    return PreferenceDataModule(pairs, held_out, word_tokenizer(), training, seed, work_dir)
