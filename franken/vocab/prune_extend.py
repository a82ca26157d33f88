"""``vocab=prune_extend``: the base's pieces that are needed, and new ones (Franken-Adapter 2.1).

The vocabulary has the size of the base model's (or ``vocab.size``). New pieces of the target
languages are learnt on top of the base segmentation, as for ``vocab=extension``; then as many base
pieces go as there are new ones, the least missed first (:mod:`franken.tokenizer.pruning`). What
target text uses never goes, so the pieces that go change nothing of how target text is cut. Source
text is cut as before wherever it uses none of the pieces that go: all of the probe, and by estimate
all but one token in :data:`~franken.tokenizer.pruning.SHOWN_PER_LOST` of other text, unless
``vocab.added``, ``vocab.kept_share`` or a small ``vocab.size`` ask for more.

The paper prunes everything that 20 million English sentences do not use, whatever there is to put
in its place. ``vocab.kept_share=0.6`` with ``vocab.keep_scripts`` is its setting.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import field
from typing import Any

from franken.config.checks import at_least, in_range
from franken.declare import option
from franken.errors import ConfigError, DataError
from franken.lazy import later
from franken.vocab.base import TrainedVocab

with later():
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

    from franken.tokenizer.compose import compose
    from franken.tokenizer.growth import Growth, TextUse, grow, read_texts
    from franken.tokenizer.language_group import trained_pipeline_of
    from franken.tokenizer.pipeline import Pipeline, ReadOnlyKind
    from franken.tokenizer.pruning import (
        Prunable,
        has_kept_script,
        needed_by_the_rest,
        prunable_pieces,
    )
    from franken.tokenizer.types import VocabResult, VocabTexts
    from franken.tokenizer.wordpiece_growth import grow_wordpiece

logger = logging.getLogger(__name__)
BETTER_FROM = 4
"""A pair that target text holds so often makes a better piece than one that no text uses."""


@option
class PruneExtendVocab(TrainedVocab):
    """Franken-Adapter 2.1: keep the pieces that the source language uses, fill with new ones.

    What target text uses stays. Of the rest those go first that the probe (source-language text)
    makes the least likely, as far as it can tell: source text may lose one token in 4,000 by its
    estimate, and of a script that other languages share a fifth of the unused pieces.
    """

    added: int | None = None
    """How many new pieces, whatever gives way to them; ``null``: as many as nobody misses."""
    probe_sentences: int = 20_000_000
    """Source-language sentences that decide which base pieces are kept."""
    min_count: int = 1
    """A base piece counts as used when the probe uses it at least so often."""
    kept_share: float | None = None
    """Keep at most this share of the vocabulary where new pieces take the room (the paper: 0.6)."""
    keep_scripts: list[str] = field(default_factory=list)
    """Unicode scripts whose pieces go last; none named: no script goes first."""
    merge_closure: bool = True
    """Also keep the pieces that arise on the way to a kept piece."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("added", self.added, 1)
        yield from at_least("probe_sentences", self.probe_sentences, 1)
        yield from at_least("min_count", self.min_count, 1)
        yield from in_range("kept_share", self.kept_share, 0.01, 1.0)

    def build(self, base: PreTrainedTokenizerBase, texts: VocabTexts) -> VocabResult:
        """Learn pieces of the target languages and prune as many as have to give way."""
        pipeline, note = trained_pipeline_of(base, self, wordpiece=True)
        size = self.size or pipeline.size
        free = size - len(pipeline.pieces)
        use = read_texts(base, pipeline, self, texts, source_lines=self.probe_sentences)
        if not use.source.any():
            raise DataError(
                "vocab=prune_extend keeps the pieces that source-language text uses, but there is "
                "no source-language text; check data.source_lang and its files"
            )
        prunable = prunable_pieces(
            pipeline,
            use.source,
            use.target,
            min_count=self.min_count,
            first=_other_scripts(pipeline, self.keep_scripts),
            closure=self.merge_closure,
        )
        going = _going(pipeline, self, prunable, free)
        room = free + len(going)
        _check_room(pipeline, size, room, len(going))
        wanted = room if self.added is None else min(room, self.added)
        growth = self._grown(pipeline, texts, use, wanted)
        count = len(growth.pieces) + len(growth.characters)
        gone = going[: max(0, count - free)]
        if self.merge_closure:
            needed = needed_by_the_rest(pipeline, gone)
            gone = [piece for piece in gone if piece not in needed]
            growth = _shorten(growth, free + len(gone))
        _warn(self, prunable, growth, gone, room, wanted)
        tokenizer, parts = _put_together(pipeline, prunable, growth, set(gone), size)
        return VocabResult(tokenizer, {"parts": parts, **note})

    def _grown(self, pipeline: Pipeline, texts: VocabTexts, use: TextUse, wanted: int) -> Growth:
        if pipeline.kind is ReadOnlyKind.wordpiece:
            lines = self.probe_sentences
            return grow_wordpiece(pipeline, self, texts, wanted, source_lines=lines)
        return grow(pipeline, self, texts, use, wanted, min_frequency=BETTER_FROM)


def _going(
    pipeline: Pipeline, config: PruneExtendVocab, prunable: Prunable, free: int
) -> list[str]:
    """The pieces that may go, the first to go first."""
    rest = [*prunable.unused, *prunable.used]
    if config.added is not None:
        return [*prunable.safe, *rest][: max(0, config.added - free)]
    if config.kept_share is not None:
        size = config.size or pipeline.size
        excess = len(prunable.worths) - int(config.kept_share * size)
        if min(excess, len(prunable.safe) + len(rest)) > len(prunable.safe):
            return [*prunable.safe, *rest][:excess]
    if free < 0:
        return [*prunable.safe, *prunable.unused]
    return prunable.safe


def _other_scripts(pipeline: Pipeline, scripts: list[str]) -> list[str]:
    """Pieces that hold characters of other scripts, where ``scripts`` names any."""
    if not scripts:
        return []
    return [piece for piece in pipeline.normal() if not has_kept_script(pipeline, piece, scripts)]


def _check_room(pipeline: Pipeline, size: int, room: int, going: int) -> None:
    if room < 0:
        raise ConfigError(
            f"vocab.size: {size} tokens cannot hold the {len(pipeline.pieces) - going} pieces that "
            "are reserved or that source and target text use; raise vocab.size, or keep fewer with "
            "vocab.kept_share"
        )
    if room == 0:
        raise ConfigError(
            f"vocab=prune_extend: the texts need all {size} tokens of the vocabulary, or the probe "
            "is too small to tell which they do not need, so no new piece has room; give more "
            "source text, raise vocab.size, take vocab=extension, or say how many shall give way "
            "with vocab.added or vocab.kept_share (0.6 in the paper)"
        )


def _shorten(growth: Growth, room: int) -> Growth:
    """At most ``room`` new pieces, characters first."""
    characters = growth.characters[:room]
    pieces = growth.pieces[: room - len(characters)]
    return Growth(pieces, characters, growth.merges, growth.scores, growth.refused)


def _warn(
    config: PruneExtendVocab,
    prunable: Prunable,
    growth: Growth,
    gone: list[str],
    room: int,
    wanted: int,
) -> None:
    count = len(growth.pieces) + len(growth.characters)
    if config.added is not None and count < config.added:
        logger.warning(
            "vocab.added: %d new pieces were asked for and %d were made: %s",
            config.added, count,
            "the target text holds no more that occur often enough"
            if wanted == config.added else "nothing else may give way to them",
        )  # fmt: skip
    if len(gone) > len(prunable.safe):
        logger.warning(
            "vocab=prune_extend: %d of the %d pieces that gave way were more than the probe can "
            "vouch for; source text that it does not show, and other languages, may be cut finer",
            len(gone) - len(prunable.safe), len(gone),
        )  # fmt: skip
    protected = config.added is None and config.kept_share is None and prunable.unused
    if protected and count >= room - 1 and len(gone) >= len(prunable.safe) - 1:
        logger.warning(
            "vocab=prune_extend: %d new pieces took all room; %d more pieces are used by no text "
            "but protected, since the probe (source text) is too small to speak for them or they "
            "serve other languages; vocab.added takes more of them, more source text frees more, "
            "vocab=extension needs none",
            count, len(prunable.unused),
        )  # fmt: skip


def _put_together(
    pipeline: Pipeline, prunable: Prunable, growth: Growth, gone: set[str], size: int
) -> tuple[PreTrainedTokenizerFast, dict[str, Any]]:
    keep = [piece for piece in pipeline.normal() if piece not in gone]
    reserved = pipeline.reserved()
    unused = size - len(reserved) - len(keep) - len(growth.pieces) - len(growth.characters)
    if unused:
        logger.warning(
            "vocab.size: %d of %d tokens have no piece, since the target text holds too few that "
            "occur often enough; they are filled with <unusedN>",
            unused, size,
        )  # fmt: skip
    scores = {p: pipeline.scores[p] for p in keep if p in pipeline.scores} | growth.scores
    # A pruned piece that comes back as a new one ranks as new: the source did without it.
    merges = [merge for merge in pipeline.merges if "".join(merge) not in gone] + growth.merges
    pieces = [*keep, *growth.pieces, *growth.characters]
    tokenizer = compose(pipeline, pieces, merges, scores, size=size)
    parts: dict[str, Any] = {
        "reserved": len(reserved),
        "kept": len(keep),
        "pruned": len(gone),
        "pruned_of_used": sum(prunable.worths[piece] > 0 for piece in gone),
        "protected": len(prunable.unused),
        "new": len(growth.pieces),
        "alphabet": len(growth.characters),
        "unused": unused,
        "refused_for_source": growth.refused,
    }
    return tokenizer, parts
