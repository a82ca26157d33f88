"""``vocab=named``: the base vocabulary with tokens that the config names.

For markers in text (``names`` of a mixture). Tokens from a file, beside pieces that are learnt, are
those of ``vocab=extension``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from franken.declare import option
from franken.lazy import later
from franken.vocab.base import Vocab

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.tokenizer.assembly import build
    from franken.tokenizer.named_tokens import NamedToken, with_named_tokens
    from franken.tokenizer.pipeline import pipeline_of
    from franken.tokenizer.types import VocabResult, VocabTexts


@option
class NamedVocab(Vocab):
    """The base vocabulary with named tokens appended (vocab.tokens), such as markers in text."""

    tokens: list[str] = field(default_factory=lambda: ["<translate>", "</translate>"])
    """As they stand in text; those that the base has stay what they are."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if len(set(self.tokens)) < len(self.tokens) or not all(map(str.strip, self.tokens)):
            yield "tokens", f"must be different tokens and none blank, got {self.tokens}"

    def build(self, base: PreTrainedTokenizerBase, texts: VocabTexts) -> VocabResult:
        """Append them; text is not read."""
        pipeline, known = with_named_tokens(pipeline_of(base), [NamedToken(t) for t in self.tokens])
        reserved = len(pipeline.reserved())
        parts = {"reserved": reserved, "kept": len(pipeline.pieces) - reserved}
        return VocabResult(build(pipeline), {"parts": parts, "named": len(self.tokens) - known})
