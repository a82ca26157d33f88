"""``vocab=adaptivocab``: n-grams of tokens in the ids of those that a domain needs least.

Nakash et al. (AdaptiVocab, arXiv 2503.19693, COLM 2025): of all runs of up to three tokens in a
domain's text those that save most become tokens of their own; each takes the id of one of the
rarest tokens, which text writes with the two that it was made of. Only those go that no kept token
is made of (leaf order), ties in the domain by what source text misses less.

Departure: the paper encodes by its own code, the longest n-gram first over the base's finished
tokens. That is no tokenizer that others load. Here an n-gram is a chain of merges behind the base's
own, in a plain ``tokenizer.json`` whose pre-tokeniser lets words stand together; one of three
tokens needs a piece on the way, where no wanted one is. The report has both lengths of the
domain's text (``tokens``).
"""

from __future__ import annotations

from collections.abc import Iterator

from franken.config.base_model import TokenizerKind
from franken.config.checks import at_least
from franken.declare import option
from franken.errors import CompatibilityError, ConfigError
from franken.lazy import later
from franken.tokenizer.ngrams import NGramScore
from franken.tokenizer.options import Splitting
from franken.vocab.base import TrainedVocab
from franken.vocab.extension import GUARDED_LINES

with later():
    from collections.abc import Callable

    import numpy as np
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

    from franken.tokenizer import token_words
    from franken.tokenizer.compose import Merge, compose
    from franken.tokenizer.growth import TextUse, longest_piece, read_texts
    from franken.tokenizer.leaves import without_leaves
    from franken.tokenizer.ngrams import best_ngrams, greedy_length, merges_of
    from franken.tokenizer.pipeline import Pipeline, pipeline_of
    from franken.tokenizer.splits import across_words
    from franken.tokenizer.types import VocabResult, VocabTexts


@option
class AdaptiVocab(TrainedVocab):
    """N-grams of the base's tokens in the ids of those that the targets' text needs least."""

    added: int = 10_000
    """How many tokens are replaced, at most."""
    longest: int = 3
    """Tokens of the longest n-gram."""
    score: NGramScore = NGramScore.paper
    min_frequency: int = 2
    """An n-gram that the text holds less often is not taken."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("added", self.added, 1)
        yield from at_least("longest", self.longest, 2)
        yield from at_least("min_frequency", self.min_frequency, 1)
        if self.size is not None:
            yield "size", "stays the base's: as many tokens go as come; leave it null, set added"
        if self.split is not Splitting.keep:
            yield "split", "has no say: tokens join over marks as over blanks; leave it at keep"

    def build(self, base: PreTrainedTokenizerBase, texts: VocabTexts) -> VocabResult:
        """Choose n-grams, and which tokens give way to them.

        Raises:
            CompatibilityError: where the base is no byte-level BPE.
            ConfigError: where fewer tokens can go than come.
        """
        own = pipeline_of(base)
        if own.kind is not TokenizerKind.byte_level_bpe:
            raise CompatibilityError(
                f"vocab={self.name} lets a byte-level pre-tokeniser go on over blanks, and this "
                f"tokenizer is {own.kind}; take vocab=extension"
            )
        pipeline = across_words(own)
        use = read_texts(base, pipeline, self, texts, source_lines=GUARDED_LINES)
        chosen = self._chosen(pipeline, use)
        spell = _speller(use)
        pieces, merges = merges_of(list(chosen), spell, pipeline.pieces, self.added)
        gone = _rarest(pipeline, use, merges, len(pieces))
        tokenizer = _put_together(pipeline, pieces, merges, gone)
        reserved = len(pipeline.reserved())
        parts = {
            "reserved": reserved, "kept": pipeline.size - reserved - len(gone), "pruned": len(gone),
            "new": len(pieces), "ngrams": len(chosen),
            "across_blanks": sum("\u0120" in piece.lstrip("\u0120") for piece in pieces),
        }  # fmt: skip
        words = use.target_words.words.items()
        tokens = {
            "base": sum(len(word) * uses for word, uses in words),
            "longest_first": sum(
                greedy_length(word, chosen.keys(), self.longest) * uses for word, uses in words
            ),
        }
        return VocabResult(tokenizer, {"parts": parts, "tokens": tokens})

    def _chosen(self, pipeline: Pipeline, use: TextUse) -> dict[str, int]:
        spell, most = _speller(use), longest_piece(pipeline)

        def fits(ngram: str) -> bool:
            piece = spell(ngram)
            return len(piece) <= most and piece not in pipeline.pieces

        return dict(best_ngrams(
            use.target_words.words, self.added, longest=self.longest, score=self.score,
            min_frequency=self.min_frequency, fits=fits,
        ))  # fmt: skip


def _speller(use: TextUse) -> Callable[[str], str]:
    first = token_words.FIRST_LETTER
    return lambda letters: "".join(use.names[ord(letter) - first] for letter in letters)


def _rarest(pipeline: Pipeline, use: TextUse, merges: list[Merge], count: int) -> set[str]:
    """As many tokens as n-grams come, none that these are made of."""
    normal = pipeline.normal()
    parts = {part for merge in merges for part in merge}
    usage = use.target * (int(use.source.sum()) + 1) + use.source
    needed = [pipeline.pieces[part] for part in parts if part in pipeline.pieces]
    usage[needed] = np.iinfo(usage.dtype).max // (1 + len(normal))  # a sum of some stays a number
    gone = set(normal) - without_leaves(pipeline, usage, set(normal), len(normal) - count)
    if len(gone) < count or gone & parts:
        raise ConfigError(
            f"vocab.added: {count} tokens would come, and only {len(gone - parts)} of the base's "
            f"{pipeline.size} can go; set it lower"
        )
    return gone


def _put_together(
    pipeline: Pipeline, pieces: list[str], merges: list[Merge], gone: set[str]
) -> PreTrainedTokenizerFast:
    """New tokens in the ids of those that go; every other id stays."""
    kept = {index: piece for piece, index in pipeline.pieces.items() if piece not in gone}
    before = [merge for merge in pipeline.merges if "".join(merge) not in gone]
    return compose(pipeline, pieces, [*before, *merges], {}, reserved=kept, size=pipeline.size)
