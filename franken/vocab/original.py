"""``vocab=original``: keep the tokenizer of the base model."""

from typing import TYPE_CHECKING

from franken.config.vocab import OriginalVocab
from franken.tokenizer import pipeline as pipelines
from franken.tokenizer.types import VocabResult, VocabTexts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def build(base: "PreTrainedTokenizerBase", config: OriginalVocab, texts: VocabTexts) -> VocabResult:
    """The base tokenizer in the plain class that loads the same everywhere."""
    pipeline = pipelines.pipeline_of(base)
    reserved = len(pipeline.reserved())
    parts = {"reserved": reserved, "kept": len(pipeline.pieces) - reserved}
    return VocabResult(pipelines.build(pipeline), {"parts": parts})
