"""``vocab=original``: keep the tokenizer of the base model."""

from typing import TYPE_CHECKING

from franken.config.vocab import OriginalVocab
from franken.vocab import frame as frames
from franken.vocab.types import VocabResult, VocabTexts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def build(base: "PreTrainedTokenizerBase", config: OriginalVocab, texts: VocabTexts) -> VocabResult:
    """The base tokenizer in the plain class that loads the same everywhere."""
    frame = frames.frame_of(base)
    reserved = len(frame.reserved())
    parts = {"reserved": reserved, "kept": len(frame.pieces) - reserved}
    return VocabResult(frames.build(frame), {"parts": parts})
