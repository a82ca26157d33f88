"""``vocab=parity_bpe``: new pieces for the language that is worst off, one after the other.

Foroutan et al. (arXiv 2508.04796, ACL 2026): before each merge the language whose text takes most
tokens is chosen, and its most frequent pair is merged. The paper trains from bytes; here BPE goes
on from the base's tokens as in ``extension``, so the base's own merges are what the paper's hybrid
variant learns in the ordinary way first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any

from franken.config.checks import at_least
from franken.declare import option
from franken.lazy import later
from franken.vocab.extension import GUARDED_LINES, ExtensionVocab

with later():
    from itertools import islice
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from franken.errors import CompatibilityError, DataError
    from franken.tokenizer.continued import Learner
    from franken.tokenizer.growth import Growth, guarded_pairs, longest_piece, pieces_to_read
    from franken.tokenizer.language_group import training_streams
    from franken.tokenizer.parity import Measured, continue_in_parity
    from franken.tokenizer.pipeline import Pipeline
    from franken.tokenizer.sampling import lines_of
    from franken.tokenizer.token_words import WordReader
    from franken.tokenizer.types import VocabTexts
    from franken.tokenizer.word_counts import WordCounter


@option
class ParityBpeVocab(ExtensionVocab):
    """The base vocabulary with new pieces, each for the target language that is worst off."""

    dev: dict[str, str] = field(default_factory=lambda: {})
    """Target language -> file of lines that say the same in all of them (line 7 of each is one
    sentence), by which costs are told. Empty: tokens per character of each language's own text,
    which takes for granted that all need as many characters."""
    window: int | None = None
    """A language that had more than ``alpha`` times its share of the last so many merges sits out
    (the paper: 100); ``null``: none does."""
    alpha: float = 2.0
    """Of ``window``."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("window", self.window, 1)
        yield from at_least("alpha", self.alpha, 1.0)
        if self.include_source:
            yield "include_source", "has no meaning here: source text is left as it is cut"

    def paths(self) -> dict[str, str]:
        return super().paths() | {f"dev.{language}": path for language, path in self.dev.items()}

    def learn(
        self, base: PreTrainedTokenizerBase, pipeline: Pipeline, texts: VocabTexts, count: int
    ) -> tuple[Growth, dict[str, Any]]:
        if not pipeline.is_bpe:
            raise CompatibilityError(
                f"vocab={self.name} chooses merges, and this tokenizer is {pipeline.kind}; it "
                "needs BPE (take vocab=extension)"
            )
        streams = training_streams(self, texts)
        parallel = self._parallel(sorted(streams))
        counter, characters = WordCounter(pipeline), dict.fromkeys(streams, 0)

        def lines(language: str) -> Iterator[str]:
            for line in lines_of(streams[language]()):
                characters[language] += len(line)
                yield line

        counted = {language: counter.count(lines(language)) for language in streams}
        names, missing = pieces_to_read(pipeline, counter, streams, counted)
        reader = WordReader(base, pipeline, names)
        training = {language: reader.read([text]) for language, text in counted.items()}
        measured = {
            language: Measured(words, characters[language]) for language, words in training.items()
        } | {
            language: Measured(reader.read([counter.count(text)]), len(text))
            for language, text in parallel.items()
        }
        source = reader.read([counter.count(islice(lines_of(texts.source()), GUARDED_LINES))])
        taken, first = missing[:count], len(names) - len(missing)
        learner = Learner(
            names, count - len(taken), guarded=guarded_pairs(source),
            apart=range(first + len(taken), len(names)), longest=longest_piece(pipeline),
        )  # fmt: skip
        learnt = continue_in_parity(
            training, measured, learner, window=self.window, alpha=self.alpha
        )
        found = learnt.continuation
        growth = Growth(found.pieces, taken, found.merges, refused=found.refused)
        costs = {name: {"before": b, "after": a} for name, (b, a) in learnt.costs.items()}
        return growth, {"parity": {"merges_for": learnt.chosen, "tokens_per_unit": costs}}

    def _parallel(self, languages: list[str]) -> dict[str, list[str]]:
        """Lines of ``dev``, as many for each language."""
        if not self.dev:
            return {}
        if sorted(self.dev) != languages:
            raise DataError(
                f"vocab.dev has {', '.join(sorted(self.dev))}, the target languages are "
                f"{', '.join(languages)}; costs are told for all of them or for none"
            )
        found = {
            language: Path(path).expanduser().read_text(encoding="utf-8").splitlines()
            for language, path in self.dev.items()
        }
        lengths = {language: len(lines) for language, lines in found.items()}
        if len(set(lengths.values())) > 1 or not all(lengths.values()):
            raise DataError(
                f"vocab.dev: files of one text in several languages must have as many lines, got "
                f"{lengths}"
            )
        return found
