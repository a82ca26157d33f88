"""``vocab=scratch``: a new tokenizer of the base model's kind, trained on the texts alone."""

from __future__ import annotations

import logging

from franken.config.base_model import TokenizerKind
from franken.declare import option
from franken.lazy import later
from franken.vocab.base import TrainedVocab

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.tokenizer.compose import compose
    from franken.tokenizer.language_group import learn_group, merges_of_new, trained_pipeline_of
    from franken.tokenizer.types import VocabResult, VocabTexts

logger = logging.getLogger(__name__)
IDLE_SHARE = 0.05
"""Of a vocabulary that may be the base's unused tokens without a warning."""


@option
class ScratchVocab(TrainedVocab):
    """A new tokenizer of the base model's kind, trained on target and source text."""

    include_source: bool = True
    drop_unused: bool = False
    """Whether the base's ``<unusedN>`` and the like go; Gemma 3 has 6,242 of them."""

    def build(self, base: PreTrainedTokenizerBase, texts: VocabTexts) -> VocabResult:
        """Train on target (and source) text under the rules of the base tokenizer.

        Control, user-defined and byte pieces stay, at their ids as far as the new size allows;
        unused ones (``<unusedN>``, ``<|reserved_special_token_N|>``) go with
        ``vocab.drop_unused``. The vocabulary is smaller than asked for where the text does not hold
        enough pieces.
        """
        pipeline, note = trained_pipeline_of(base, self, wordpiece=True)
        idle = pipeline.idle()
        if self.drop_unused:
            pipeline = pipeline.without(idle)
        reserved = pipeline.reserved()
        size = self.size or pipeline.size
        if not self.drop_unused and len(idle) > IDLE_SHARE * size:
            logger.warning(
                "vocab=scratch: %d of %d tokens are the base's unused ones (%s, ...); "
                "vocab.drop_unused=true gives their ids to pieces",
                len(idle), size, idle[0],
            )  # fmt: skip
        room = size - len(reserved)
        learned = learn_group(pipeline, self, texts, room).with_characters(
            piece for piece in pipeline.essentials() if len(piece) == 1
        )
        pieces = learned.pieces[: max(0, room - len(learned.alphabet))]
        if pipeline.kind is TokenizerKind.byte_level_bpe:
            merges = learned.merges
        else:
            known = {*pieces, *learned.alphabet, *reserved.values()}
            merges = merges_of_new(pipeline.kind, pieces, learned.merges, known)
        tokenizer = compose(pipeline, [*pieces, *learned.alphabet], merges, learned.scores)
        parts = {
            "reserved": len(reserved),
            "reserved_unused": 0 if self.drop_unused else len(idle),
            "new": len(pieces),
            "alphabet": len(learned.alphabet),
        }
        return VocabResult(tokenizer, {"parts": parts, **note})
