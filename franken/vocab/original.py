"""``vocab=original``: keep the tokenizer of the base model."""

from __future__ import annotations

from franken.declare import option
from franken.lazy import later
from franken.vocab.base import Vocab

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.tokenizer.assembly import build
    from franken.tokenizer.pipeline import pipeline_of
    from franken.tokenizer.types import VocabResult, VocabTexts


@option
class OriginalVocab(Vocab):
    """Keep the tokenizer of the base model."""

    def build(self, base: PreTrainedTokenizerBase, texts: VocabTexts) -> VocabResult:
        """The base tokenizer in the plain class that loads the same everywhere."""
        pipeline = pipeline_of(base)
        reserved = len(pipeline.reserved())
        parts = {"reserved": reserved, "kept": len(pipeline.pieces) - reserved}
        return VocabResult(build(pipeline), {"parts": parts})
