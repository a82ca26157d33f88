"""Vocabularies: pieces in comparable form, trained tokenizers, and one file per option."""

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING

from franken.config.vocab import VocabConfig
from franken.errors import ConfigError
from franken.seeds import derive_seed
from franken.vocab.families import SpecialTokens, family_of, train_tokenizer
from franken.vocab.pieces import (
    canonical_bytes,
    encode_piece,
    encode_pieces,
    special_ids,
    special_roles,
    vocabulary_overlap,
)
from franken.vocab.types import VocabResult, VocabTexts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "SpecialTokens",
    "VocabResult",
    "VocabTexts",
    "build_vocabulary",
    "canonical_bytes",
    "encode_piece",
    "encode_pieces",
    "family_of",
    "special_ids",
    "special_roles",
    "train_tokenizer",
    "vocabulary_overlap",
]

OPTIONS = ("original", "scratch", "extension", "prune_extend", "from_pretrained")


def build_vocabulary(
    base: "PreTrainedTokenizerBase", config: VocabConfig, texts: VocabTexts, seed: int
) -> VocabResult:
    """Build the vocabulary that ``config`` asks for and report how it does.

    Args:
        base: Tokenizer of the base model.
        config: Options of one of ``franken.vocab``'s modules, chosen by ``config.name``.
        texts: Text of the source and target languages; its own seed is replaced.
        seed: Draws the lines that a trainer reads.
    """
    from franken.vocab.report import vocabulary_report

    if config.name not in OPTIONS:
        raise ConfigError(f"vocab: unknown option {config.name!r}; known are {', '.join(OPTIONS)}")
    option = importlib.import_module(f"franken.vocab.{config.name}")
    texts = replace(texts, seed=derive_seed(seed, "vocab"))
    result: VocabResult = option.build(base, config, texts)
    report = {"option": config.name, **result.report}
    return VocabResult(result.tokenizer, report | vocabulary_report(base, result.tokenizer, texts))
