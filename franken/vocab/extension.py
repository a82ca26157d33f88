"""``vocab=extension``: the base vocabulary with new pieces appended.

No base id changes. For BPE the new pieces are learned *on top of* the base segmentation: training
starts from the base tokens of each word instead of from characters, so every new piece is reachable
and all base merges keep their precedence.
"""

from typing import TYPE_CHECKING

from franken.config.base_model import TokenizerKind
from franken.config.vocab import ExtensionVocab
from franken.errors import ConfigError
from franken.tokenizer.compose import Merge, compose
from franken.tokenizer.continued import continue_merges
from franken.tokenizer.language_group import learn_group, training_streams
from franken.tokenizer.learn import find_alphabet, training_backend
from franken.tokenizer.pipeline import Pipeline, editable_pipeline_of
from franken.tokenizer.types import VocabResult, VocabTexts
from franken.vocab.prune_extend import NEW_SHARE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DEFAULT_SHARE = 0.34
"""New pieces per base piece (Franken-Adapter, ablation A10)."""


def build(
    base: "PreTrainedTokenizerBase", config: ExtensionVocab, texts: VocabTexts
) -> VocabResult:
    """Append ``config.added`` pieces of the target languages."""
    pipeline = editable_pipeline_of(base, "vocab=extension")
    count = added_count(pipeline, config)
    if pipeline.kind is TokenizerKind.sentencepiece_unigram:
        # Twice as many, since the base has part of them.
        learned = learn_group(pipeline, config, texts, 2 * count)
        alphabet = [char for char in learned.alphabet if char not in pipeline.pieces][: count // 2]
        pieces = [piece for piece in learned.pieces if piece not in pipeline.pieces]
        pieces = pieces[: max(0, count - len(alphabet))]
        scores = {piece: score + NEW_SHARE for piece, score in learned.scores.items()}
        merges: list[Merge] = []
    else:
        alphabet, pieces, merges = _continue(pipeline, config, texts, count)
        scores = {}
    fixed = {index: piece for piece, index in pipeline.pieces.items()}
    tokenizer = compose(
        pipeline,
        [*alphabet, *pieces],
        [*pipeline.merges, *merges],
        {piece: score for piece, score in scores.items() if piece not in pipeline.pieces},
        reserved=fixed,
    )
    reserved = len(pipeline.reserved())
    parts = {
        "reserved": reserved,
        "kept": len(fixed) - reserved,
        "new": len(pieces),
        "alphabet": len(alphabet),
    }
    return VocabResult(tokenizer, {"parts": parts})


def added_count(pipeline: Pipeline, config: ExtensionVocab) -> int:
    """How many pieces are appended: ``added``, or what ``size`` leaves, or the default share."""
    if config.added is not None:
        return config.added
    if config.size is None:
        return round(DEFAULT_SHARE * pipeline.size)
    if config.size <= pipeline.size:
        raise ConfigError(
            f"vocab.size: an extension of {pipeline.size} base tokens must be larger than that, "
            f"got {config.size}; raise vocab.size or set vocab.added"
        )
    return config.size - pipeline.size


def _continue(
    pipeline: Pipeline, config: ExtensionVocab, texts: VocabTexts, count: int
) -> tuple[list[str], list[str], list[Merge]]:
    streams = training_streams(config, texts)
    alphabet: list[str] = []
    if pipeline.kind is not TokenizerKind.byte_level_bpe:
        normalizer = training_backend(pipeline).normalizer
        found = find_alphabet(normalizer, streams, limit=pipeline.size + count)
        alphabet = [char for char in found if char not in pipeline.pieces][: count // 2]
    pieces, merges = continue_merges(pipeline, alphabet, streams, count - len(alphabet))
    return alphabet, pieces, merges
