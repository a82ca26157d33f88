"""``vocab=extension``: the base vocabulary with new pieces appended.

No base id changes. For BPE the new pieces are learnt *on top of* the base segmentation: training
starts from the base tokens of each word instead of from characters, so every new piece is reachable
and all base merges keep their precedence. Merges that source text would feel are refused
(:mod:`franken.tokenizer.growth`; WordPiece, which has no merges: ``wordpiece_growth``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from franken.config.checks import at_least
from franken.declare import option
from franken.errors import ConfigError
from franken.lazy import later
from franken.vocab.base import TrainedVocab

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.tokenizer.compose import compose
    from franken.tokenizer.growth import Growth, grow, read_texts
    from franken.tokenizer.language_group import trained_pipeline_of
    from franken.tokenizer.named_tokens import read_named_tokens, with_named_tokens
    from franken.tokenizer.pipeline import Pipeline, ReadOnlyKind
    from franken.tokenizer.types import VocabResult, VocabTexts
    from franken.tokenizer.wordpiece_growth import grow_wordpiece

DEFAULT_SHARE = 0.34
"""New pieces per base piece (Franken-Adapter, ablation A10)."""
GUARDED_LINES = 40_000
"""Source lines that new pieces must leave as they are; reading more costs time and gains little."""


@option
class ExtensionVocab(TrainedVocab):
    """The base vocabulary with new pieces of the target languages appended."""

    added: int | None = None
    """How many pieces are appended; ``null``: 34 % of the base vocabulary (the paper's A10), or
    none beside ``tokens``."""
    tokens: str | None = None
    """File of tokens to append as they are: one a line, or JSON lines (``token``, ``special``; and
    ``like``, ``text`` for ``init_method=named_tokens``)."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("added", self.added, 0 if self.tokens else 1)

    def paths(self) -> dict[str, str]:
        return {} if self.tokens is None else {"tokens": self.tokens}

    def build(self, base: PreTrainedTokenizerBase, texts: VocabTexts) -> VocabResult:
        """Append ``config.added`` pieces of the target languages."""
        pipeline, note = trained_pipeline_of(base, self, wordpiece=True)
        named = read_named_tokens(self.tokens) if self.tokens else []
        count = added_count(pipeline, self)
        if self.added is None and self.size is not None:
            count = max(0, count - sum(token.token not in pipeline.pieces for token in named))
        growth, told = self.learn(base, pipeline, texts, count) if count else (Growth([], []), {})
        pipeline, known = with_named_tokens(pipeline, named)
        if named:
            note = {**note, "named": len(named) - known, "named_known": known}
        fixed = {index: piece for piece, index in pipeline.pieces.items()}
        grown = len(fixed) + len(growth.pieces) + len(growth.characters)
        tokenizer = compose(
            pipeline,
            [*growth.characters, *growth.pieces],
            [*pipeline.merges, *growth.merges],
            growth.scores,
            reserved=fixed,
            size=max(pipeline.size, grown),
        )
        reserved = len(pipeline.reserved())
        parts = {
            "reserved": reserved,
            "kept": len(fixed) - reserved,
            "new": len(growth.pieces),
            "alphabet": len(growth.characters),
            "refused_for_source": growth.refused,
        }
        return VocabResult(tokenizer, {"parts": parts, **told, **note})

    def learn(
        self, base: PreTrainedTokenizerBase, pipeline: Pipeline, texts: VocabTexts, count: int
    ) -> tuple[Growth, dict[str, Any]]:
        """``count`` new pieces, and what the report says of how they were chosen."""
        if pipeline.kind is ReadOnlyKind.wordpiece:
            lines = GUARDED_LINES
            return grow_wordpiece(pipeline, self, texts, count, source_lines=lines), {}
        use = read_texts(base, pipeline, self, texts, source_lines=GUARDED_LINES)
        return grow(pipeline, self, texts, use, count), {}


def added_count(pipeline: Pipeline, config: ExtensionVocab) -> int:
    """How many pieces are appended: ``added``, or what ``size`` leaves, or the default share."""
    if config.added is not None:
        return config.added
    if config.size is None and config.tokens:
        return 0
    if config.size is None:
        return round(DEFAULT_SHARE * pipeline.size)
    if config.size <= pipeline.size:
        raise ConfigError(
            f"vocab.size: an extension of {pipeline.size} base tokens must be larger than that, "
            f"got {config.size}; raise vocab.size or set vocab.added"
        )
    return config.size - pipeline.size
