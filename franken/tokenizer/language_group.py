"""Train the pieces of a language group: shared by the options that train."""

import logging
from typing import TYPE_CHECKING, Any

from franken.config.base_model import TokenizerKind
from franken.errors import DataError
from franken.tokenizer.compose import Merge, all_splits
from franken.tokenizer.learn import Learned, learn_pieces
from franken.tokenizer.options import PieceTraining, Splitting
from franken.tokenizer.pipeline import (
    Kind,
    Pipeline,
    ReadOnlyKind,
    pipeline_of,
    refuse_uneditable,
)
from franken.tokenizer.sampling import Lines, sample_languages
from franken.tokenizer.splits import repair_marks
from franken.tokenizer.types import VocabTexts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

SOURCE = "source"


def trained_pipeline_of(
    base: "PreTrainedTokenizerBase", config: PieceTraining, *, wordpiece: bool = False
) -> tuple[Pipeline, dict[str, Any]]:
    """The base's pipeline with the rules that ``config`` asks for, and a note for the report."""
    pipeline = pipeline_of(base)
    refuse_uneditable(pipeline, f"vocab={config.name}", wordpiece=wordpiece)
    if config.split is Splitting.keep:
        return pipeline, {}
    pipeline, changed = repair_marks(pipeline)
    if not changed:
        logger.warning(
            "vocab.split=marks changes nothing: no split pattern of this tokenizer cuts words at "
            "combining marks"
        )
    return pipeline, {"split_patterns_repaired": changed}


def training_streams(config: PieceTraining, texts: VocabTexts) -> dict[str, Lines]:
    """The sampled lines per language: the targets', and the source's where asked for."""
    if not texts.targets:
        raise DataError(
            f"vocab={config.name} trains on target-language text, but no target language has any; "
            "name target languages in data.languages, or take vocab=original"
        )
    streams = dict(texts.targets)
    if config.include_source:
        streams[SOURCE] = texts.source
    return sample_languages(streams, config, texts.seed)


def learn_group(
    pipeline: Pipeline, config: PieceTraining, texts: VocabTexts, count: int
) -> Learned:
    """Alphabet and pieces of the group, without those that the pipeline reserves."""
    learned = learn_pieces(pipeline, training_streams(config, texts), count)
    reserved = set(pipeline.reserved().values())
    return Learned(
        alphabet=[char for char in learned.alphabet if char not in reserved],
        pieces=[piece for piece in learned.pieces if piece not in reserved],
        merges=learned.merges,
        scores=learned.scores,
    )


def merges_of_new(
    kind: Kind, pieces: list[str], learned: list[Merge], known: set[str]
) -> list[Merge]:
    """Merges that build ``pieces``, best piece first.

    Each piece gets the merge by which it was learned and every other pair of known pieces that
    makes it: that is how SentencePiece works, and with merges of another vocabulary in front of
    these, the learned pair alone may never come about.
    """
    if kind in (TokenizerKind.sentencepiece_unigram, ReadOnlyKind.wordpiece):
        return []
    by_piece: dict[str, list[Merge]] = {}
    if kind is TokenizerKind.byte_level_bpe:
        for merge in learned:
            by_piece.setdefault("".join(merge), []).append(merge)
    return [
        merge
        for piece in pieces
        for merge in dict.fromkeys([*by_piece.get(piece, ()), *all_splits([piece], known)])
    ]
