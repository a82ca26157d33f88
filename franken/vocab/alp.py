"""``vocab=alp``: a vocabulary from scratch whose size the text decides (UniBridge)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import fields

from franken.config.checks import at_least
from franken.declare import option
from franken.lazy import later
from franken.vocab.scratch import ScratchVocab

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.tokenizer.log_probability import average_log_probability, search_size
    from franken.tokenizer.types import VocabResult, VocabTexts

logger = logging.getLogger(__name__)


@option
class AlpVocab(ScratchVocab):
    """A new tokenizer that grows until the mean log-probability of a line hardly changes.

    UniBridge (Pham et al., ACL 2024, arXiv 2406.09717).
    """

    include_source: bool = False
    start: int = 3000
    """First size."""
    step: int = 1000
    """By which it grows."""
    most: int = 60_000
    """Last size."""
    change: float = 5.0
    """Nats per line: a smaller change ends the search."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("start", self.start, 300)
        yield from at_least("step", self.step, 1)
        yield from at_least("most", self.most, self.start)
        yield from at_least("change", self.change, 0.0)
        if self.size is not None:
            yield "size", "is what vocab=alp searches; set vocab.start and vocab.most"

    def build(self, base: PreTrainedTokenizerBase, texts: VocabTexts) -> VocabResult:
        """Train one after the other; judged on the lines of the target languages.

        Where the text does not hold enough pieces for a size, the one before is taken.
        """
        shared = {f.name: getattr(self, f.name) for f in fields(ScratchVocab) if f.name != "name"}

        def build(size: int) -> tuple[VocabResult, float | None]:
            found = ScratchVocab(**{**shared, "size": size}).build(base, texts)
            if len(found.tokenizer) < size:
                return found, None
            lines = (line for stream in texts.targets.values() for line in stream())
            value = average_log_probability(found.tokenizer, lines)
            logger.info("vocab=alp: %d pieces, %.2f nats per line", size, value)
            return found, value

        taken, history = search_size(build, self.start, self.step, self.most, self.change)
        return VocabResult(taken.tokenizer, {**taken.report, "alp": [list(h) for h in history]})
