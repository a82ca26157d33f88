"""Links from the states that a model has of a sentence and of its translation (awesome-align)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from franken.alignment.base import Alignment, Extraction, Similarity
from franken.config.checks import at_least, in_range
from franken.declare import option
from franken.errors import ConfigError
from franken.lazy import later

with later():
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from franken.alignment.common.bitext import read_bitext
    from franken.alignment.common.contextual import Rule, StateAligner
    from franken.alignment.common.links import table_of_links
    from franken.alignment.common.table import WordTable
    from franken.data.source import Pair


@option
class AwesomeAlign(Alignment):
    """Links from a model's states of both sentences (awesome-align); it must read both languages.

    Dou & Neubig, EACL 2021, arXiv 2101.08231, without fine-tuning of its own: train the model on
    sentence pairs before (of a masked model that is the paper's translation language modelling).
    The model is the recipe's ``base``, masked or causal.
    """

    reads_model: ClassVar[bool] = True

    layer: int | None = None
    """Whose states: 0 is what enters the first layer, -1 the last; ``null``: two thirds of the way
    (8 of mBERT's 12, the paper's choice)."""
    similarity: Similarity = Similarity.dot
    temperature: float = 1.0
    """Divides similarities before softmax; 0.1 or less for ``cosine``."""
    extraction: Extraction = Extraction.softmax
    threshold: float = 1e-3
    """``softmax``: what a link must have in both directions."""
    sequence_length: int = 128
    """Tokens of a sentence at most; words behind them have no links."""
    max_pairs: int | None = None
    """Sentence pairs per language at most; ``null``: all."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from in_range("threshold", self.threshold, 0.0, 1.0)
        yield from at_least("sequence_length", self.sequence_length, 2)
        yield from at_least("max_pairs", self.max_pairs, 1)
        if not self.temperature > 0:
            yield "temperature", f"must be positive, got {self.temperature}"

    def align(self, pairs: Iterable[Pair], language: str) -> WordTable:
        """Refused: there is no model here.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "alignment=awesome_align reads a model's states, and none is given here; use it in a "
            "recipe, or call its align_by with a model that reads both languages"
        )

    def align_by(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: Iterable[Pair],
        language: str,
    ) -> WordTable:  # fmt: skip
        """Count the links of one language.

        Raises:
            ConfigError: where the model has no such layer.
        """
        bitext = read_bitext(pairs, max_pairs=self.max_pairs)
        aligner = StateAligner.of(
            model, tokenizer, layer=self.layer, rule=self.rule(), longest=self.sequence_length
        )
        return table_of_links(bitext, aligner.links(bitext), "awesome_align")

    def rule(self) -> Rule:
        """How similarities become links."""
        return Rule(self.similarity, self.temperature, self.extraction, self.threshold)
