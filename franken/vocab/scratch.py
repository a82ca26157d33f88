"""``vocab=scratch``: a new tokenizer of the base model's kind, trained on the texts alone."""

from typing import TYPE_CHECKING

from franken.config.vocab import ScratchVocab
from franken.vocab.compose import compose
from franken.vocab.essentials import essential_pieces
from franken.vocab.frame import frame_of
from franken.vocab.learn import learn_like
from franken.vocab.types import VocabResult, VocabTexts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def build(
    base: "PreTrainedTokenizerBase", config: ScratchVocab, texts: VocabTexts
) -> VocabResult:
    """Train on target (and source) text under the rules of the base tokenizer.

    Control, user-defined and byte pieces stay, at their ids as far as the new size allows. The
    vocabulary is smaller than asked for where the text does not hold enough pieces.
    """
    frame = frame_of(base)
    size = config.size or frame.size
    reserved = frame.reserved()
    essential = essential_pieces(frame)
    learned = learn_like(frame, config, texts, size - len(reserved), essential)
    room = size - len(reserved) - len(learned.alphabet)
    pieces = [piece for piece in learned.pieces if piece not in frame.added_names][:room]
    order = [*pieces, *learned.alphabet]
    tokenizer = compose(frame, order, learned.all_merges(frame.kind, order), learned.scores)
    parts = {"reserved": len(reserved), "new": len(pieces), "alphabet": len(learned.alphabet)}
    return VocabResult(tokenizer, {"parts": parts})
