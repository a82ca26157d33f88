"""``vocab=trim``: the base vocabulary without what the texts do not use; nothing new."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from itertools import islice

from franken.config.checks import at_least
from franken.declare import option
from franken.lazy import later
from franken.vocab.base import Vocab

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.tokenizer.sampling import lines_of
    from franken.tokenizer.trim import trim_vocabulary
    from franken.tokenizer.types import VocabResult, VocabTexts


@option
class TrimVocab(Vocab):
    """The base vocabulary without what source and target texts do not use; no new piece.

    The control of all options that replace pieces, and AfroXLMR's cut (Alabi et al. 2022, arXiv
    2204.06487). With ``init_method.copy_overlap`` every row is a copy. Without a recipe:
    ``python -m franken.vocab trim``.
    """

    size: int | None = None
    """At most so many tokens, in leaf order; ``null``: all that the texts use."""
    min_count: int = 1
    """A piece that the texts use less often goes, unless others are made of it."""
    scripts: list[str] = field(default_factory=lambda: [])
    """Unicode scripts (Latin, Ethiopic) of which every piece stays."""
    drop_unused: bool = False
    """Whether the base's ``<unusedN>`` and the like go."""
    max_lines_per_language: int = 500_000
    """Lines of each language that are read."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("size", self.size, 300)
        yield from at_least("min_count", self.min_count, 1)
        yield from at_least("max_lines_per_language", self.max_lines_per_language, 1)

    def build(self, base: PreTrainedTokenizerBase, texts: VocabTexts) -> VocabResult:
        """Keep what the texts use, in the old order."""
        trimmed = trim_vocabulary(
            base,
            (
                line
                for stream in (texts.source, *texts.targets.values())
                for line in islice(lines_of(stream()), self.max_lines_per_language)
            ),
            scripts=self.scripts,
            min_count=self.min_count,
            size=self.size,
            drop_idle=self.drop_unused,
        )
        reserved = trimmed.report["parts"]["reserved"]
        parts = {"reserved": reserved, "kept": len(trimmed.source_ids) - reserved}
        moved = trimmed.report["control_tokens_moved"]
        return VocabResult(trimmed.tokenizer, {"parts": parts, "control_tokens_moved": moved})
