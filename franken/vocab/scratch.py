"""``vocab=scratch``: a new tokenizer of the base model's kind, trained on the texts alone."""

from typing import TYPE_CHECKING

from franken.config.base_model import TokenizerKind
from franken.config.vocab import ScratchVocab
from franken.tokenizer.compose import compose
from franken.tokenizer.language_group import learn_group, merges_of_new
from franken.tokenizer.pipeline import editable_pipeline_of
from franken.tokenizer.types import VocabResult, VocabTexts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def build(base: "PreTrainedTokenizerBase", config: ScratchVocab, texts: VocabTexts) -> VocabResult:
    """Train on target (and source) text under the rules of the base tokenizer.

    Control, user-defined and byte pieces stay, at their ids as far as the new size allows. The
    vocabulary is smaller than asked for where the text does not hold enough pieces.
    """
    pipeline = editable_pipeline_of(base, "vocab=scratch")
    reserved = pipeline.reserved()
    room = (config.size or pipeline.size) - len(reserved)
    learned = learn_group(pipeline, config, texts, room).with_characters(
        piece for piece in pipeline.essentials() if len(piece) == 1
    )
    pieces = learned.pieces[: max(0, room - len(learned.alphabet))]
    if pipeline.kind is TokenizerKind.byte_level_bpe:
        merges = learned.merges
    else:
        known = {*pieces, *learned.alphabet, *reserved.values()}
        merges = merges_of_new(pipeline.kind, pieces, learned.merges, known)
    tokenizer = compose(pipeline, [*pieces, *learned.alphabet], merges, learned.scores)
    parts = {"reserved": len(reserved), "new": len(pieces), "alphabet": len(learned.alphabet)}
    return VocabResult(tokenizer, {"parts": parts})
