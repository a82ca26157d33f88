"""Trans-Tokenization (Remy et al. 2024, arXiv 2408.04303): rows by word alignment.

A target token's row is the mean of source rows, weighted by how often words that hold the tokens
translate each other: ``W[t, s] = c(t, s) / sum c(t, .)``. Counts come from parallel text
(:mod:`.word_pieces`), from equal bytes and numbers (:mod:`.evidence`), and where there are none,
from tokens of similar spelling (:mod:`.borrowing`). Tables of several target languages are pooled:
their words share one vocabulary, and each token is the mean over all its evidence.
"""

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from franken.config.init_method import Fallback
from franken.config.init_method.parallel import Borrowing, TransTokenizationInit, Unmapped
from franken.parts.table import Table
from franken.token_map.builder import MapBuilder
from franken.token_map.fallback import build_with_fallback
from franken.token_map.resources import InitResources
from franken.token_map.smoothing import decide_special, identity, numbers
from franken.token_map.spelling_weights import borrow
from franken.token_map.token_counts import TokenCounts
from franken.token_map.token_map import Provenance, TokenMap
from franken.token_map.word_pieces import spread_table
from franken.tokenizer.pieces import encode_pieces, special_roles
from franken.tokenizer.pipeline import BYTE_PIECE

logger = logging.getLogger(__name__)


def fit(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: TransTokenizationInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map.

    Raises:
        DataError: where there is no word alignment.
    """
    resources.require("alignments", config.name)
    builder = MapBuilder(source, target, config, seed)
    decide_special(builder, config.special)
    builder.copy_overlap()
    aligned = _aligned(builder, config, resources)
    parts = {
        "aligned": aligned.joined(),
        "numbers": numbers(builder, config.evidence.numbers),
        "identity": identity(builder, config.evidence.identity),
    }
    origins = _Origins(builder)
    counts = TokenCounts.of(*(origins.admitted(name, part) for name, part in parts.items()))
    weights = counts.sharpened(config.top, config.temperature)
    _put(builder, weights)
    _put_borrowed(builder, config, origins, counts)
    _put_unknown(builder, config, origins)
    builder.notes["trans_tokenization"] |= origins.report(weights)
    builder.notes["lenders"] = _lenders(config)
    if config.unmapped is Unmapped.unk:
        return builder.build(Fallback.mean)
    return build_with_fallback(builder, Fallback(config.unmapped.value))


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
                   if BYTE_PIECE.fullmatch(name)}  # fmt: skip
    copied = _copied(builder, config)
    known = TokenCounts.of(counts.joined(), copied)
    rows = TokenCounts(known.rows, known.columns, known.shares())
    lenders = [row for row in np.unique(rows.rows).tolist()
               if row not in byte_pieces and _is_text(builder.target_bytes[row])]  # fmt: skip
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


def _is_text(data: bytes | None) -> bool:
    try:
        return bool((data or b"").decode())
    except UnicodeDecodeError:
        return False
