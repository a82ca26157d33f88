"""What goes into and comes out of every vocabulary option."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from franken.tokenizer.sampling import Lines

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def _no_text() -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class VocabTexts:
    """Texts that a vocabulary is built from and judged on; each can be read anew."""

    source: Lines = _no_text
    """Lines of the source language, the one that the base model knows."""
    targets: dict[str, Lines] = field(default_factory=dict)
    """Lines of each target language."""
    seed: int = 0
    """Draws the sample of lines."""


@dataclass(frozen=True)
class VocabResult:
    """A finished vocabulary."""

    tokenizer: "PreTrainedTokenizerFast"
    report: dict[str, Any] = field(default_factory=dict)
    """JSON: what the option did, and (from ``build_vocabulary``) how the result does on text."""
