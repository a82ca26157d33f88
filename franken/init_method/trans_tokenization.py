"""Trans-Tokenization (Remy et al. 2024, arXiv 2408.04303): rows by word alignment.

A target token's row is the mean of source rows, weighted by how often words that hold the tokens
translate each other: ``W[t, s] = c(t, s) / sum c(t, .)``. Counts come from parallel text
(``token_map.word_pieces``), from equal bytes and numbers, and where there are none, from tokens of
similar spelling (``token_map.spelling_weights``). Tables of several target languages are pooled:
their words share one vocabulary, and each token is the mean over all its evidence.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from franken.config.checks import at_least, members_by_name
from franken.declare import option
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback, NumberRule, PairCounts, SpecialRule, SpreadConfig

with later():
    import numpy as np
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.smoothing import decide_special, identity, numbers
    from franken.token_map.spelling_weights import borrow
    from franken.token_map.token_counts import TokenCounts
    from franken.token_map.token_map import Provenance, TokenMap
    from franken.token_map.word_pieces import spread_table
    from franken.tokenizer import pipeline as pipelines
    from franken.tokenizer.pieces import encode_pieces, special_roles, text_of

logger = logging.getLogger(__name__)


class Borrowing(StrEnum):
    """Where tokens without evidence take their weights from."""

    none = "none"
    frozen_substring = "frozen_substring"
    """From mapped tokens that they begin, and from the longest mapped tokens inside them."""
    mean_of_pieces = "mean_of_pieces"
    """From their own source tokenization, equal weights."""


class Unmapped(StrEnum):
    """Rule for tokens that nothing was found for."""

    unk = "unk"
    """The source's unk row; its pad or bos where it has none; else the mean row."""
    mean = "mean"
    normal = "normal"
    multivariate = "multivariate"
    subtoken_mean = "subtoken_mean"


@members_by_name
@dataclass
class EvidenceConfig:
    """Counts that need no parallel text, added to those that come from it."""

    identity: float = 1.0
    """For a source piece of the same bytes, where it is not copied; 0 switches it off."""
    numbers: NumberRule = NumberRule.digits

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("identity", self.identity, 0.0)


@members_by_name
@dataclass
class BorrowingConfig:
    """Weights for tokens without evidence."""

    kind: Borrowing = Borrowing.frozen_substring
    """The release writes into the mapping that it reads, so that its result changes from process
    to process; here all read the state before."""
    word_initial_boost: float = 2.0
    """Factor on source pieces that begin a word; the release knows only one word-start marker."""
    ignore_word_start: bool = True
    """Whether a token also borrows from those that it begins but for their leading space: ``house``
    from ``▁house``. The release asks for the very beginning, marker included."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("word_initial_boost", self.word_initial_boost, 0.0)


@option
class TransTokenizationInit(InitMethod):
    """Source rows weighted by word alignments of parallel text; needs the role parallel."""

    paper: ClassVar[str] = "Remy et al. 2024, arXiv 2408.04303"

    copy_overlap: bool = True
    """False, as in the paper: a shared piece is evidence of weight ``evidence.identity``, which a
    word of another meaning (Indonesian "air", water) outweighs. That suits a vocabulary without the
    source language; in one that keeps it, source words lose their rows."""
    counts: PairCounts = PairCounts.viterbi
    beam_exponent: float | None = None
    """Keep a pair only if p(target | source) >= (the source word's highest) ** this; ``null``:
    off. The reference's aligner has 4, which costs a seventh of the vocabulary its evidence."""
    min_count: float = 2.0
    """Word pairs counted less often are ignored. 2 suits thousands of sentence pairs, where it
    drops chance links and keeps rare words; the paper has 10 on millions (Dutch: 20)."""
    spread: SpreadConfig = field(default_factory=SpreadConfig)
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    special: SpecialRule = SpecialRule.roles
    fallback: BorrowingConfig = field(default_factory=BorrowingConfig)
    unmapped: Unmapped = Unmapped.unk
    top: int | None = None
    """Keep a token's so many heaviest sources; ``null``: all."""
    temperature: float = 1.0
    """Weights are raised to 1 / temperature and normalised; below 1 sharpens them."""

    def needs(self) -> frozenset[str]:
        return frozenset({"alignment"})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("beam_exponent", self.beam_exponent, 1.0)
        yield from at_least("min_count", self.min_count, 0.0)
        yield from at_least("top", self.top, 1)
        yield from at_least("temperature", self.temperature, 1e-3)

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map.

        Raises:
            DataError: where there is no word alignment.
        """
        resources.require("alignments", self.name)
        builder = MapBuilder(source, target, self, seed)
        decide_special(builder, self.special)
        builder.copy_overlap()
        aligned = _aligned(builder, self, resources)
        parts = {
            "aligned": aligned.joined(),
            "numbers": numbers(builder, self.evidence.numbers),
            "identity": identity(builder, self.evidence.identity),
        }
        origins = _Origins(builder)
        counts = TokenCounts.of(*(origins.admitted(name, part) for name, part in parts.items()))
        weights = counts.sharpened(self.top, self.temperature)
        _put(builder, weights)
        _put_borrowed(builder, self, origins, counts)
        _put_unknown(builder, self, origins)
        builder.notes["trans_tokenization"] |= origins.report(weights)
        builder.notes["lenders"] = _lenders(self)
        if self.unmapped is Unmapped.unk:
            return builder.build(Fallback.mean)
        return builder.build_with_fallback(Fallback(self.unmapped.value))


class _Origins:
    """Which open rows got weights, and from what; the first origin counts."""

    def __init__(self, builder: MapBuilder) -> None:
        self.open = np.zeros(len(builder.target_bytes), dtype=bool)
        self.open[builder.undecided()] = True
        self.found: dict[str, int] = {}
        self._left = self.open.copy()

    def admitted(
        self, name: str, part: tuple[np.ndarray, np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The part of some evidence that is about open rows."""
        kept = self.open[part[0]] & (part[2] > 0)
        rows, columns, values = (column[kept] for column in part)
        self.credit(name, rows)
        return rows, columns, values

    def credit(self, name: str, rows: Iterable[int] | np.ndarray) -> None:
        """Rows that this origin decides unless an earlier one did."""
        new = np.zeros_like(self._left)
        new[np.asarray(list(rows), dtype=np.int64)] = True
        self.found[name] = int((new & self._left).sum())
        self._left &= ~new

    def report(self, weights: TokenCounts) -> dict[str, Any]:
        """Rows by origin, and how many sources the rows with evidence have."""
        sizes = np.diff(np.r_[weights.starts(), len(weights)])
        quantiles = np.quantile(sizes, [0.1, 0.5, 0.9]).tolist() if len(sizes) else []
        return {
            "rows_by_origin": {**self.found, "nothing": int(self._left.sum())},
            "sources_per_row": dict(zip(("q10", "q50", "q90"), quantiles, strict=False)),
        }


def _aligned(
    builder: MapBuilder, config: TransTokenizationInit, resources: InitResources
) -> TokenCounts:
    """Counts from the word tables of all languages."""

    def encode_target(texts: Iterable[bytes]) -> list[list[int]]:
        known = builder.target_bytes
        return [
            [index for index in ids if known[index] is not None]
            for ids in encode_pieces(builder.target, list(texts))
        ]

    found, report = [], {}
    for language in sorted(resources.alignments):
        table = resources.alignments[language]
        counts, pairs = spread_table(table, config, builder.encode, encode_target)
        found.append(counts.joined())
        report[language] = {"word_pairs": len(table), "kept": pairs}
        if not pairs:
            logger.warning(
                "%s: none of the %d word pairs of %s is counted at least min_count=%g times; its "
                "words have no evidence. Lower init_method.min_count or give more parallel text",
                config.name, len(table), language, config.min_count,
            )  # fmt: skip
    builder.notes["trans_tokenization"] = {"alignments": report}
    return TokenCounts.of(*found)


def _put(builder: MapBuilder, weights: TokenCounts) -> None:
    """Rows with evidence; one whose only source has its own bytes is a copy."""
    sizes = np.bincount(weights.rows, minlength=len(builder.target_bytes))
    partner = np.full(len(builder.target_bytes), -1, dtype=np.int64)
    partner[list(builder.overlap)] = list(builder.overlap.values())
    same = (sizes[weights.rows] == 1) & (partner[weights.rows] == weights.columns)
    builder.put_entries(*weights.where(same).joined(), Provenance.copied)
    builder.put_entries(*weights.where(~same).joined())


def _put_borrowed(
    builder: MapBuilder, config: TransTokenizationInit, origins: _Origins, counts: TokenCounts
) -> None:
    """Rows that ``fallback`` finds weights for."""
    before = set(builder.undecided())
    if config.fallback.kind is Borrowing.mean_of_pieces:
        builder.pool_subtokens(Provenance.fallback)
    elif config.fallback.kind is Borrowing.frozen_substring:
        _put_by_spelling(builder, config, counts)
    origins.credit(config.fallback.kind.value, before - set(builder.undecided()))


def _put_by_spelling(
    builder: MapBuilder, config: TransTokenizationInit, counts: TokenCounts
) -> None:
    byte_pieces = {row for name, row in builder.target.get_vocab().items()
                   if pipelines.BYTE_PIECE.fullmatch(name)}  # fmt: skip
    copied = _copied(builder, config)
    known = TokenCounts.of(counts.joined(), copied)
    rows = TokenCounts(known.rows, known.columns, known.shares())
    lenders = [row for row in np.unique(rows.rows).tolist()
               if row not in byte_pieces and text_of(builder.target_bytes[row])]  # fmt: skip
    initial = np.array([(data or b"").startswith(b" ") for data in builder.source_bytes])
    borrowed = borrow(
        [row for row in builder.undecided() if row not in byte_pieces],
        builder.target_bytes, lenders, rows, initial,
        boost=config.fallback.word_initial_boost, integer=config.spread.integer,
        ignore_word_start=config.fallback.ignore_word_start,
    )  # fmt: skip
    weights = borrowed.sharpened(config.top, config.temperature)
    builder.put_entries(*weights.joined(), Provenance.fallback)


def _lenders(config: TransTokenizationInit) -> str:
    """Whose rows make the rows without evidence, in words."""
    own = "its own subtokens in the source"
    borrowed = {Borrowing.frozen_substring: "tokens that share its letters",
                Borrowing.mean_of_pieces: own}.get(config.fallback.kind)  # fmt: skip
    left = {Unmapped.unk: "the source's unk", Unmapped.subtoken_mean: own}.get(config.unmapped)
    return ", else ".join(dict.fromkeys(part for part in (borrowed, left) if part))


def _copied(
    builder: MapBuilder, config: TransTokenizationInit
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """With ``copy_overlap``, copied rows lend too."""
    rows = [row for row in builder.overlap if builder.target_bytes[row] is not None]
    rows = rows if config.copy_overlap else []
    columns = np.array([builder.overlap[row] for row in rows], dtype=np.int64)
    return np.array(rows, dtype=np.int64), columns, np.ones(len(rows))


def _put_unknown(builder: MapBuilder, config: TransTokenizationInit, origins: _Origins) -> None:
    """With ``unmapped=unk``, what is left takes the source's unk row."""
    roles = special_roles(builder.source.tokenizer)
    sources = [roles[role] for role in ("unk", "pad", "bos") if role in roles]
    sources = [index for index in sources if index < builder.source.rows]
    rows = builder.undecided()
    if config.unmapped is not Unmapped.unk or not sources or not rows:
        return
    columns = np.full(len(rows), sources[0])
    builder.put_entries(np.array(rows), columns, np.ones(len(rows)), Provenance.fallback)
    origins.credit("unk", rows)
