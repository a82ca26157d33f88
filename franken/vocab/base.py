"""What every vocabulary has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from franken.config.checks import at_least, checked
from franken.lazy import later
from franken.tokenizer.options import PieceTraining

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.garbage import without_collection
    from franken.seeds import derive_seed
    from franken.tokenizer.pipeline import reading_once
    from franken.tokenizer.report import vocabulary_report, warn_of_lossy_text, warn_of_targets
    from franken.tokenizer.types import VocabResult, VocabTexts


@dataclass
class Vocab:
    """Builds the tokenizer of the adapted model."""

    version: ClassVar[int] = 1
    """Raised when a change of code changes the vocabulary, or what is made of it alone."""

    name: str = ""
    """The option."""
    pad_to_multiple: int = 1
    """Exports get rows up to a multiple of this, as trainers with sharded tables want. The
    tokenizer stays as it is; the rows beyond it never win."""

    def faults(self) -> Iterator[tuple[str, str]]:
        """Key and message of everything wrong with the options."""
        yield from at_least("pad_to_multiple", self.pad_to_multiple, 1)

    def paths(self) -> dict[str, str]:
        """Field -> file that these options read: its content is in the step's key."""
        return {}

    def build(self, base: PreTrainedTokenizerBase, texts: VocabTexts) -> VocabResult:
        """Build it.

        Args:
            base: tokenizer of the base model.
            texts: text of the source and target languages, with the seed of drawn lines.
        """
        raise NotImplementedError(f"{type(self).__name__} is no vocabulary of its own")


@dataclass
class TrainedVocab(PieceTraining, Vocab):
    """Options that train pieces on text."""


def build_vocabulary(
    base: PreTrainedTokenizerBase, config: Vocab, texts: VocabTexts, seed: int
) -> VocabResult:
    """Build the vocabulary that ``config`` asks for and report how it does.

    Args:
        base: Tokenizer of the base model.
        config: Options of a vocabulary.
        texts: Text of the source and target languages; its own seed is replaced.
        seed: Draws the lines that a trainer reads.

    Raises:
        ConfigError: where options are out of range; names all of them.
    """
    checked(config, f"vocab={config.name}")
    texts = replace(texts, seed=derive_seed(seed, "vocab"))
    with reading_once(), without_collection():
        return _build(base, config, texts)


def _build(base: PreTrainedTokenizerBase, config: Vocab, texts: VocabTexts) -> VocabResult:
    result = config.build(base, texts)
    report = {"option": config.name, **result.report}
    report |= vocabulary_report(base, result.tokenizer, texts)
    warn_of_lossy_text(config.name, report["languages"])
    cut = warn_of_targets(config.name, result.tokenizer, texts, report["languages"])
    report["words_cut_at_marks"] = cut
    return VocabResult(result.tokenizer, report)
