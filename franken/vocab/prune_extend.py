"""``vocab=prune_extend``: the source language's pieces, then new ones (Franken-Adapter 2.1).

The vocabulary has the size of the base model's. Base pieces that the source language uses come
first and keep their merges, so source text is segmented as before; the rest is filled with
pieces trained on the target languages.
"""

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from franken.config.vocab import PruneExtendVocab
from franken.errors import ConfigError, DataError
from franken.tokenizer.compose import compose, merge_ancestors
from franken.tokenizer.language_group import learn_group, merges_of_new
from franken.tokenizer.learn import Learned
from franken.tokenizer.pieces import piece_bytes
from franken.tokenizer.pipeline import Pipeline, editable_pipeline_of
from franken.tokenizer.reachability import is_reachable
from franken.tokenizer.sampling import usage_counts
from franken.tokenizer.scripts import uses_only_scripts
from franken.tokenizer.types import VocabResult, VocabTexts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

logger = logging.getLogger(__name__)

REFILL_ROUNDS = 4
NEW_SHARE = math.log(0.5)
"""Unigram: the result is an even mixture of the base's and the group's distribution."""


@dataclass(frozen=True)
class Kept:
    """Base pieces that stay, in base order."""

    used: list[str]
    """Used by the probe and of an allowed script, or essential."""
    closure: list[str]
    """Only needed on the way to those."""
    min_count: int
    """Uses in the probe from which a piece was kept."""


def build(
    base: "PreTrainedTokenizerBase", config: PruneExtendVocab, texts: VocabTexts
) -> VocabResult:
    """Prune by source usage and script, extend with pieces of the target languages."""
    pipeline = editable_pipeline_of(base, "vocab=prune_extend")
    size = config.size or pipeline.size
    reserved = pipeline.reserved()
    kept = keep_pieces(base, pipeline, config, texts, limit=_kept_limit(config, size))
    chosen = set(kept.used) | set(kept.closure)
    keep = [piece for piece in pipeline.normal() if piece in chosen]
    room = size - len(reserved) - len(keep)
    if room < 0:
        raise ConfigError(
            f"vocab.size: {size} tokens cannot hold {len(reserved)} reserved and {len(keep)} kept "
            "pieces; raise vocab.size, or keep fewer with vocab.kept_share or vocab.min_count"
        )
    if room == 0:
        raise ConfigError(
            f"vocab=prune_extend: the source language keeps all {size} tokens of the vocabulary, "
            "so no new piece has room; raise vocab.size, or keep fewer with vocab.kept_share (0.6 "
            f"in the paper) or a vocab.min_count above {kept.min_count}"
        )
    learned = learn_group(pipeline, config, texts, size - len(reserved))
    alphabet = [char for char in learned.alphabet if char not in chosen]
    candidates = [piece for piece in learned.pieces if piece not in chosen]
    if not config.force_alphabet:
        candidates, alphabet = [*candidates, *alphabet], []
    dropped_characters = alphabet[room:]
    alphabet = alphabet[:room]
    tokenizer, new, refilled = _fill(pipeline, keep, candidates, alphabet, learned, size)
    parts: dict[str, Any] = {
        "reserved": len(reserved),
        "kept": len(keep),
        "kept_for_merges": len(kept.closure),
        "kept_from_count": kept.min_count,
        "pruned": len(pipeline.normal()) - len(keep),
        "new": len(new),
        "alphabet": len(alphabet),
        "unused": size - len(reserved) - len(keep) - len(new) - len(alphabet),
        "refilled": refilled,
    }
    if dropped_characters:
        parts["characters_left_to_bytes"] = dropped_characters
        logger.warning(
            "no room for any new word piece and for %d characters of the target languages, which "
            "stay bytes; keep fewer source pieces (vocab.kept_share, vocab.min_count) or raise "
            "vocab.size",
            len(dropped_characters),
        )
    return VocabResult(tokenizer, {"parts": parts})


def keep_pieces(
    base: "PreTrainedTokenizerBase",
    pipeline: Pipeline,
    config: PruneExtendVocab,
    texts: VocabTexts,
    *,
    limit: int | None = None,
) -> Kept:
    """Which normal base pieces the source language needs, the most used ``limit`` of them."""
    counts = usage_counts(
        base.backend_tokenizer, texts.source(), pipeline.size, limit=config.probe_sentences
    )
    if not counts.any():
        raise DataError(
            "vocab=prune_extend keeps the pieces that source-language text uses, but there is no "
            "source-language text; check data.source_lang and its files"
        )
    essentials = set(pipeline.essentials())
    uses = {
        piece: int(counts[pipeline.pieces[piece]])
        for piece in pipeline.normal()
        if piece in essentials or has_kept_script(pipeline, piece, config.keep_scripts)
    }

    ways = merge_ancestors(uses, pipeline.merges) if config.merge_closure else {}

    def keep(min_count: int) -> Kept:
        used = [piece for piece, count in uses.items() if count >= min_count or piece in essentials]
        closure = {part for piece in used for part in ways.get(piece, ())} - set(used)
        in_order = [piece for piece in pipeline.normal() if piece in closure]
        return Kept(used, in_order, min_count)

    kept = keep(config.min_count)
    if limit is None or len(kept.used) + len(kept.closure) <= limit:
        return kept
    thresholds = sorted({count + 1 for count in uses.values() if count >= config.min_count})
    low, high = 0, len(thresholds) - 1
    while low < high:
        middle = (low + high) // 2
        kept = keep(thresholds[middle])
        if len(kept.used) + len(kept.closure) <= limit:
            high = middle
        else:
            low = middle + 1
    return keep(thresholds[low])


def _kept_limit(config: PruneExtendVocab, size: int) -> int | None:
    return None if config.kept_share is None else int(config.kept_share * size)


def has_kept_script(pipeline: Pipeline, piece: str, scripts: list[str]) -> bool:
    """Whether a piece is written in ``scripts``; part of a character says nothing, so it passes."""
    try:
        text = piece_bytes(pipeline, piece).decode()
    except UnicodeDecodeError:
        return True
    return uses_only_scripts(text, scripts)


def _fill(
    pipeline: Pipeline,
    keep: list[str],
    candidates: list[str],
    alphabet: list[str],
    learned: Learned,
    size: int,
) -> tuple["PreTrainedTokenizerFast", list[str], int]:
    """Take the best candidates that text can reach."""
    room = size - len(pipeline.reserved()) - len(keep) - len(alphabet)
    scores = {piece: score + NEW_SHARE for piece, score in learned.scores.items()}
    scores |= {piece: pipeline.scores[piece] for piece in keep if piece in pipeline.scores}
    fixed = {*keep, *alphabet, *pipeline.reserved().values()}
    refused: set[str] = set()
    for last in [False] * REFILL_ROUNDS + [True]:
        new = [piece for piece in candidates if piece not in refused][:room]
        known = fixed | set(new)
        # A pruned piece that comes back as a new one ranks as new: the source did without it.
        merges = [merge for merge in pipeline.merges if "".join(merge) in fixed]
        merges += merges_of_new(pipeline.kind, new, learned.merges, known)
        pieces = [*keep, *new, *alphabet]
        tokenizer = compose(pipeline, pieces, merges, scores, size=size)
        model = tokenizer.backend_tokenizer.model
        unreachable = {piece for piece in new if not is_reachable(model, piece)}
        if last or not unreachable:
            break
        refused |= unreachable
    return tokenizer, new, len(refused)
