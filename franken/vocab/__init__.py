"""Vocabularies: pieces in comparable form, trained tokenizers, and one file per option.

Other packages add options through the entry-point group ``franken.vocab``.
"""

import importlib
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from franken.config.checks import hint
from franken.config.vocab import VocabConfig
from franken.errors import ConfigError
from franken.seeds import derive_seed
from franken.tokenizer.families import SpecialTokens, family_of, train_tokenizer
from franken.tokenizer.pieces import (
    canonical_bytes,
    encode_piece,
    encode_pieces,
    special_ids,
    special_roles,
    vocabulary_overlap,
)
from franken.tokenizer.types import VocabResult, VocabTexts

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


BuildFunction = Callable[..., VocabResult]
"""``build(base, config, texts) -> VocabResult``."""


def _load_option(name: str) -> BuildFunction:
    """A module of this package, or an entry point of the group ``franken.vocab``."""
    if name in OPTIONS:
        module: Any = importlib.import_module(f"franken.vocab.{name}")
        own: BuildFunction = module.build
        return own
    points = {point.name: point for point in entry_points(group="franken.vocab")}
    if name not in points:
        raise ConfigError(f"vocab.name: unknown {name!r}.{hint(name, [*OPTIONS, *points])}")
    loaded: BuildFunction = points[name].load()
    return loaded


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
    from franken.tokenizer.report import vocabulary_report, warn_of_lossy_text, warn_of_targets

    build = _load_option(config.name)
    texts = replace(texts, seed=derive_seed(seed, "vocab"))
    result = build(base, config, texts)
    report = {"option": config.name, **result.report}
    report |= vocabulary_report(base, result.tokenizer, texts)
    warn_of_lossy_text(config.name, report["languages"])
    cut = warn_of_targets(config.name, result.tokenizer, texts, report["languages"])
    report["words_cut_at_marks"] = cut
    return VocabResult(result.tokenizer, report)
