"""``vocab=superbpe``: new pieces inside words, then some across the blanks between them.

Liu et al. (arXiv 2503.13423, COLM 2025) train BPE twice: ``t`` merges inside words, then on without
cutting at blanks. Here both stages go on from the base's own merges as in ``extension``; what the
source text holds side by side is not merged, so source text is cut as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from franken.config.base_model import TokenizerKind
from franken.config.checks import at_least, in_range
from franken.declare import option
from franken.lazy import later
from franken.vocab.extension import GUARDED_LINES, ExtensionVocab, added_count

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.errors import CompatibilityError
    from franken.tokenizer.assembly import build
    from franken.tokenizer.compose import compose
    from franken.tokenizer.continued import continue_merges
    from franken.tokenizer.growth import guarded_pairs, longest_piece, read_texts
    from franken.tokenizer.pipeline import Pipeline, pipeline_of
    from franken.tokenizer.splits import across_words
    from franken.tokenizer.types import VocabResult, VocabTexts

BLANK = "\u0120"
"""How byte-level BPE writes the blank."""


@option
class SuperBpeVocab(ExtensionVocab):
    """The base vocabulary with new pieces, the last of them across the blanks between words."""

    transition: float = 0.8
    """Share of the new pieces that are learnt inside words, before the others."""
    max_words: int = 4
    """No piece holds more words."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from in_range("transition", self.transition, 0.0, 1.0)
        yield from at_least("max_words", self.max_words, 2)

    def build(self, base: PreTrainedTokenizerBase, texts: VocabTexts) -> VocabResult:
        """Extend the base, let its words go, and learn on.

        Raises:
            CompatibilityError: where the base is no byte-level BPE.
        """
        pipeline = pipeline_of(base)
        if pipeline.kind is not TokenizerKind.byte_level_bpe:
            raise CompatibilityError(
                f"vocab={self.name} lets a byte-level pre-tokeniser go on over blanks, and this "
                f"tokenizer is {pipeline.kind}; take vocab=extension"
            )
        count = added_count(pipeline, self)
        inside = self._inside(base, pipeline, texts, round(self.transition * count))
        left = count - inside.report["parts"]["new"]
        if self.transition == 1 or left <= 0:
            return inside
        return self._across(inside, texts, left)

    def _inside(
        self, base: PreTrainedTokenizerBase, pipeline: Pipeline, texts: VocabTexts, count: int
    ) -> VocabResult:
        """The first stage: an extension by ``count`` pieces, if any."""
        if not count:
            reserved = len(pipeline.reserved())
            parts = {"reserved": reserved, "kept": pipeline.size - reserved, "new": 0}
            return VocabResult(build(pipeline), {"parts": parts})
        shared = {field.name: getattr(self, field.name) for field in fields(ExtensionVocab)}
        return ExtensionVocab(**{**shared, "size": None, "added": count}).build(base, texts)

    def _across(self, inside: VocabResult, texts: VocabTexts, count: int) -> VocabResult:
        """The second stage: on top of the first one's tokens, over whole lines."""
        pipeline = across_words(pipeline_of(inside.tokenizer))
        use = read_texts(inside.tokenizer, pipeline, self, texts, source_lines=GUARDED_LINES)
        learnt = continue_merges(
            use.target_words, use.names, count, guarded=guarded_pairs(use.source_words),
            longest=longest_piece(pipeline), fits=self._has_few_words,
        )  # fmt: skip
        fixed = {index: piece for piece, index in pipeline.pieces.items()}
        tokenizer = compose(
            pipeline, learnt.pieces, [*pipeline.merges, *learnt.merges], {},
            reserved=fixed, size=pipeline.size + len(learnt.pieces),
        )  # fmt: skip
        parts = inside.report["parts"]
        across = sum(BLANK in piece.lstrip(BLANK) for piece in learnt.pieces)
        parts = {**parts, "new": parts["new"] + len(learnt.pieces), "across_blanks": across}
        return VocabResult(tokenizer, {**inside.report, "parts": parts})

    def _has_few_words(self, piece: str) -> bool:
        return piece.lstrip(BLANK).count(BLANK) < self.max_words
