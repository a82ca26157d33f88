"""Means of the source tokens that cover a piece in running text.

Align of the 0.01 GB study (Yamaguchi et al. 2024, arXiv 2406.11477): both tokenizers segment the
text, and ``E = sum over covers of freq(cover) * mean(cover)`` for each new piece, where a cover is
the tuple of source tokens over the same stretch. That is: each time the piece occurs, every one of
its n source tokens there gets 1/n. Pieces without evidence keep the start (their merge tree, or
the plain segmentation).

Departures: source tokens that reach over one end of the piece count (the release looks only at
spans that contain one another; ``partial_overlap=false`` restores that); spans are in bytes, so
that the space before a word and the bytes of one letter have their place.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from enum import StrEnum
from itertools import chain
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.errors import DataError
from franken.init_method.base import InitMethod
from franken.init_method.merge import MergeInit
from franken.init_method.subtoken_mean import SubtokenMeanInit
from franken.lazy import later
from franken.token_map.options import Fallback

with later():
    import numpy as np
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources, text_of
    from franken.token_map.token_map import TokenMap
    from franken.tokenizer.pipeline import pipeline_of
    from franken.tokenizer.spans import SpanBatch, SpanReader

_MIX = 0x9E3779B97F4A7C15


class AlignStart(StrEnum):
    """What makes the rows that the text says nothing about."""

    auto = "auto"
    """``merge`` where the target is BPE, else ``subtoken_mean``."""
    merge = "merge"
    subtoken_mean = "subtoken_mean"


class AlignedPart(StrEnum):
    """Which embeddings take the weights from text; the others keep those of the start."""

    both = "both"
    input = "input"
    output = "output"


@option
class SpanAlignInit(InitMethod):
    """Mean of the source tokens that cover the piece in monolingual text."""

    paper: ClassVar[str] = "Yamaguchi et al. 2024, arXiv 2406.11477"

    start: AlignStart = AlignStart.auto
    megabytes: float = 10.0
    """Text read per target language; the paper has 0.01 GB."""
    min_count: int = 1
    """Pieces seen less often keep the start."""
    consider_mean: bool = False
    """Count the plain segmentation of the piece once more, as often as its most frequent cover."""
    partial_overlap: bool = True
    """Count source tokens that reach over one end of the piece; the release drops them."""
    part: AlignedPart = AlignedPart.both

    def needs(self) -> frozenset[str]:
        return frozenset({"monolingual"})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("megabytes", self.megabytes, 0.0)
        yield from at_least("min_count", self.min_count, 1)

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map.

        Raises:
            DataError: where there is no monolingual text.
            CompatibilityError: ``start=merge`` with a target that is not BPE.
        """
        builder = MapBuilder(source, target, self, seed)
        builder.copy_overlap()
        wanted = np.array(builder.undecided(), dtype=np.int64)
        found = count_covers(builder, wanted, _texts(resources, self.megabytes), self)
        start = _start_map(source, target, self, resources, seed)
        _put(builder, wanted, found, start, self)
        return builder.build(Fallback.mean)


class Covers:
    """What the text says: per occurrence of a piece, 1/n to each of its n source tokens."""

    def __init__(self, rows: int, source_rows: int) -> None:
        self.shape = (rows, source_rows)
        self.occurrences = np.zeros(rows, dtype=np.int64)
        self.most_frequent = np.zeros(rows, dtype=np.int64)
        self._keys: np.ndarray = np.empty(0, np.int64)
        self._values: np.ndarray = np.empty(0, np.float64)
        self._tuples: dict[tuple[int, int], int] = {}

    def add(self, owners: np.ndarray, columns: np.ndarray, shares: np.ndarray) -> None:
        """Add shares ``(n,)`` of source rows in target rows; equal pairs add up."""
        keys = np.concatenate([self._keys, owners * self.shape[1] + columns])
        values = np.concatenate([self._values, shares])
        self._keys, places = np.unique(keys, return_inverse=True)
        self._values = np.bincount(places, weights=values, minlength=len(self._keys))

    def add_tuples(self, owners: np.ndarray, hashes: np.ndarray) -> None:
        """Count covers, one hash per occurrence, for ``most_frequent``."""
        pairs, counts = np.unique(np.stack([owners, hashes]), axis=1, return_counts=True)
        for owner, code, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
            total = self._tuples.get((owner, code), 0) + count
            self._tuples[owner, code] = total
            self.most_frequent[owner] = max(self.most_frequent[owner], total)

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Target rows, source rows and summed shares."""
        return self._keys // self.shape[1], self._keys % self.shape[1], self._values


def count_covers(
    builder: MapBuilder, wanted: np.ndarray, texts: Iterator[str], config: SpanAlignInit
) -> Covers:
    """Read the text and count."""
    known = np.array([data is not None for data in builder.source_bytes])
    chosen = np.zeros(len(builder.target_bytes), dtype=bool)
    chosen[wanted] = True
    covers = Covers(len(builder.target_bytes), len(known))
    skipped = texts_read = 0
    for batch in SpanReader(builder.source.tokenizer, builder.target).read(texts):
        skipped, texts_read = skipped + batch.skipped, texts_read + len(batch.edges) - 1
        _count_batch(batch, chosen, known, covers, config)
    builder.notes["texts"] = {"read": texts_read, "skipped": skipped}
    if not texts_read:
        raise DataError(
            f"init_method=span_align found no text that both tokenizers keep ({skipped} skipped); "
            "give data with the role monolingual, or another init_method such as merge"
        )
    return covers


def _count_batch(
    batch: SpanBatch,
    chosen: np.ndarray,
    known: np.ndarray,
    covers: Covers,
    config: SpanAlignInit,
) -> None:
    tokens = np.flatnonzero(chosen[batch.target.ids])
    first, stop = batch.cover(tokens)
    sizes = stop - first
    places = _ranges(first, sizes)
    occurrence = np.repeat(np.arange(len(tokens)), sizes)
    columns = batch.source.ids[places]
    taken = known[columns] if len(known) else np.zeros(len(columns), bool)
    if not config.partial_overlap:
        taken &= _nested(batch, tokens[occurrence], places)
    occurrence, columns = occurrence[taken], columns[taken]
    counts = np.bincount(occurrence, minlength=len(tokens))
    owners = batch.target.ids[tokens]
    covers.add(owners[occurrence], columns, 1.0 / counts[occurrence])
    np.add.at(covers.occurrences, owners[counts > 0], 1)
    if config.consider_mean:
        covers.add_tuples(owners[counts > 0], _hashes(columns, counts[counts > 0]))


def _nested(batch: SpanBatch, tokens: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Whether one of the two spans contains the other."""
    low, high = batch.target.starts[tokens], batch.target.ends[tokens]
    start, end = batch.source.starts[places], batch.source.ends[places]
    inside: np.ndarray = ((start >= low) & (end <= high)) | ((start <= low) & (end >= high))
    return inside


def _ranges(first: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """``first[i], first[i] + 1, ...``, ``sizes[i]`` of them, one after the other."""
    begins = np.cumsum(sizes) - sizes
    places: np.ndarray = np.arange(sizes.sum()) + np.repeat(first - begins, sizes)
    return places


def _hashes(columns: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """One 63-bit number per tuple; order and length count."""
    begins = np.cumsum(sizes) - sizes
    place = (np.arange(len(columns)) - np.repeat(begins, sizes)).astype(np.uint64)
    mixed = (columns.astype(np.uint64) + np.uint64(1)) * np.uint64(_MIX) + (place + np.uint64(1))
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    sums = np.add.reduceat(mixed, begins) if len(begins) else np.empty(0, np.uint64)
    codes: np.ndarray = (sums >> np.uint64(1)).astype(np.int64)
    return codes


def _put(
    builder: MapBuilder, wanted: np.ndarray, found: Covers, start: TokenMap, config: SpanAlignInit
) -> None:
    """Weights from text where there is enough of it, else those of the start."""
    seen = np.zeros(len(builder.target_bytes), dtype=bool)
    seen[wanted[found.occurrences[wanted] >= config.min_count]] = True
    rows, columns, shares = found.entries()
    keep = seen[rows]
    rows, columns, shares = rows[keep], columns[keep], shares[keep]
    if config.consider_mean:
        rows, columns, shares = _with_plain(builder, seen, found, rows, columns, shares)
    totals = np.bincount(rows, weights=shares, minlength=len(seen))
    shares = shares / totals[rows]
    old = _entries_of(start, wanted)
    if config.part == AlignedPart.both:
        builder.put_entries(rows, columns, shares)
        builder.put_entries(*(part[~seen[old[0]]] for part in old))
    else:
        merged = [np.concatenate(pair) for pair in zip((rows, columns, shares), old, strict=True)]
        from_text = np.r_[np.ones(len(rows), bool), ~seen[old[0]]]
        from_start = np.r_[~np.isin(rows, old[0]), np.ones(len(old[0]), bool)]
        sides = [np.where(side, merged[2], 0.0) for side in (from_text, from_start)]
        if config.part == AlignedPart.output:
            sides.reverse()
        builder.put_entries(merged[0], merged[1], sides[0], output_weights=sides[1])
    builder.notes["from_text"] = int(seen.sum())
    builder.notes["from_start"] = int(len(wanted) - seen.sum())
    if not seen.any() and len(wanted):
        warnings.warn(
            "init_method=span_align: none of the new pieces occurs in the text; every row is made "
            f"by the start ({start.notes['method']})",
            stacklevel=2,
        )


def _with_plain(
    builder: MapBuilder,
    seen: np.ndarray,
    found: Covers,
    rows: np.ndarray,
    columns: np.ndarray,
    shares: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add the plain segmentation of each piece, weighted as its most frequent cover."""
    owners = np.flatnonzero(seen)
    plain = builder.encode(builder.target_bytes[row] or b"" for row in owners)
    sizes = np.array([len(ids) for ids in plain], dtype=np.int64)
    more = np.repeat(found.most_frequent[owners] / np.maximum(sizes, 1), sizes)
    flat = np.fromiter(chain.from_iterable(plain), dtype=np.int64)
    return np.r_[rows, np.repeat(owners, sizes)], np.r_[columns, flat], np.r_[shares, more]


def _start_map(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: SpanAlignInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    is_bpe = pipeline_of(target).is_bpe
    if config.start == AlignStart.merge or (config.start == AlignStart.auto and is_bpe):
        merge = MergeInit(copy_overlap=config.copy_overlap)
        return merge.fit(source, target, resources, seed)
    options = SubtokenMeanInit(copy_overlap=config.copy_overlap)
    return options.fit(source, target, resources, seed)


def _entries_of(token_map: TokenMap, wanted: np.ndarray) -> tuple[np.ndarray, ...]:
    rows = np.repeat(np.arange(token_map.rows), token_map.sizes().numpy())
    kept = np.isin(rows, wanted)
    weights = token_map.weights.numpy()[kept].astype(np.float64)
    return rows[kept], token_map.indices.numpy()[kept].astype(np.int64), weights


def _texts(resources: InitResources, megabytes: float) -> Iterator[str]:
    if resources.texts is None:
        raise DataError(
            "init_method=span_align needs monolingual text, and there is none: give data with the "
            "role monolingual, or pass texts in InitResources"
        )
    return text_of(resources.texts, resources.languages, megabytes)
