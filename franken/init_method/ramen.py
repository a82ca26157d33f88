"""RAMEN (Tran 2020): translation probabilities as weights, ``E_t[f] = sum_e p(e|f) E_s[e]``.

From parallel text: ``p(e|f) = count(e, f) / sum_e' count(e', f)`` over word links, which fast_align
gives in both directions, brought together by grow-diag-final-and. From monolingual
text: ``p = sparsemax(cos)`` in word vectors aligned by identical words, where a piece's vector is
the mean over its words weighted by 1 / rank. The head's bias takes the same weights.

Departures from the release (alexa/ramen 381182c):

* Its fast_align tunes the tension of the diagonal (-o); here it stays at 4.
* It aligns pieces; here words are aligned, and the links of a pair count for every piece of the
  target word, spread evenly over the pieces of the source word; a word is cut with a leading space
  as often as it has one in the text.
* Rows without any link are made by the fallback rule from source statistics, not by N(0, 1/D).
* Special tokens go by role (its [MASK] is [SEP]), and token id 0 counts.
* All identical words align the spaces; the release means to stop at 5,000 and does not either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.init_method.common.similarity import SimilarityInit, word_needs
from franken.lazy import later
from franken.token_map.options import SpaceAlignment

with later():
    import numpy as np
    import torch
    from transformers import PreTrainedTokenizerBase

    from franken.alignment import WordTable
    from franken.parts.table import Table
    from franken.token_map import token_vectors
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.similarity import (
        copy_or_say,
        put_sparsemax_rows,
        quantiles,
        warn_if_idle,
    )
    from franken.token_map.token_map import TokenMap
    from franken.token_map.token_vectors import (
        Weighting,
        languages_in_one_space,
        pooled_vectors,
        target_spaces,
    )
    from franken.tokenizer.pieces import encode_pieces


class Aligned(StrEnum):
    """Who aligns the words."""

    symmetric = "symmetric"
    """As released: fast_align's model both ways, grow-diag-final-and; another aligner than the
    default one where the group ``alignment`` names it."""
    chosen = "chosen"
    """The group ``alignment``, whatever it says: by default Model 1 in one direction."""


class LinkCounts(StrEnum):
    """What of a word alignment is counted."""

    links = "links"
    """Hard links."""
    expected = "expected"
    """Expected counts of the last E step."""


@option
class RamenInit(SimilarityInit):
    """Translation probabilities of word alignments, or of aligned word vectors, as weights
    (RAMEN).
    """

    paper: ClassVar[str] = "Tran 2020"

    copy_overlap: bool = False
    """The release copies special tokens only; true where the new vocabulary keeps the source
    language."""
    parallel: bool = True
    """Probabilities from word alignments of parallel text; false: sparsemax of cosines in aligned
    word vectors."""
    aligner: Aligned = Aligned.symmetric
    """For ``parallel``."""
    counts: LinkCounts = LinkCounts.links
    """For ``parallel``."""
    align: SpaceAlignment = SpaceAlignment.identical
    """For ``parallel: false``."""
    max_words: int | None = 50_000
    """For ``parallel: false``: the most frequent words of each language that take part."""

    def needs(self) -> frozenset[str]:
        if not self.parallel:
            return word_needs(self.align)
        both = self.aligner is Aligned.symmetric
        return frozenset({"symmetric_alignment" if both else "alignment"})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("max_words", self.max_words, 1)

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map.

        Raises:
            DataError: where alignments (or word vectors of a language) are missing.
        """
        builder = MapBuilder(source, target, self, seed, resources.device)
        if self.parallel:
            tables = resources.require("alignments", self.name)
            copy_or_say(builder)
            notes = _from_links(builder, self, tables)
        else:
            spaces, pairs = languages_in_one_space(resources, self.align, self.name)
            old, new = [spaces[resources.source_language]], target_spaces(spaces, resources)
            copy_or_say(builder)
            notes = {"alignment_pairs": pairs, **_from_vectors(builder, self, old, new)}
        builder.notes["ramen"] = notes
        warn_if_idle(self.name, notes["rows"] > 0, self.fallback)
        return builder.build_with_fallback(self.fallback)


def _from_links(
    builder: MapBuilder, config: RamenInit, tables: Mapping[str, WordTable]
) -> dict[str, Any]:
    """``count = T L S``: target rows x target words, links, source words x source rows."""
    from scipy.sparse import csr_matrix

    shape = (len(builder.target_bytes), builder.source.rows)
    counts = csr_matrix(shape, dtype=np.float64)
    for language in sorted(tables):
        table = tables[language]
        weights = table.links if config.counts is LinkCounts.links else table.expected
        links = csr_matrix(
            (weights, (table.pairs[:, 1], table.pairs[:, 0])),
            shape=(len(table.target), len(table.source)),
        )
        cut = partial(encode_pieces, builder.target)
        new = _pieces_of(cut, table.target, table.target_spaced, shape[0], even=False)
        old = _pieces_of(builder.encode, table.source, table.source_spaced, shape[1], even=True)
        counts = counts + new.T @ (links @ old)
    counts = counts.tocsr()
    counts.eliminate_zeros()
    totals = np.asarray(counts.sum(1)).ravel()
    open_rows = np.zeros(shape[0], dtype=bool)
    open_rows[builder.undecided()] = True
    entries = counts.tocoo()
    chosen = open_rows[entries.row]
    rows = entries.row[chosen]
    builder.put_entries(rows, entries.col[chosen], entries.data[chosen] / totals[rows])
    decided = np.unique(rows)
    return {
        "rows": len(decided),
        "pieces_without_link": int(open_rows.sum()) - len(decided),
        **quantiles(torch.from_numpy(np.bincount(rows)[decided]), "source_pieces_per_row"),
    }


def _from_vectors(
    builder: MapBuilder, config: RamenInit, old: list[Any], new: list[Any]
) -> dict[str, Any]:
    pooled = partial(
        pooled_vectors,
        weighting=Weighting.inverse_rank,
        forms=token_vectors.RUNNING,
        max_words=config.max_words,
    )
    vectors, known = pooled(builder.target, len(builder.target_bytes), new)
    source_vectors, source_known = pooled(builder.source.tokenizer, builder.source.rows, old)
    anchors = source_known.nonzero().flatten()
    rows = np.asarray([row for row in builder.undecided() if known[row]], np.int64)
    rows = rows if len(anchors) else rows[:0]
    without = len(builder.undecided()) - len(rows)
    notes = put_sparsemax_rows(
        builder, rows, vectors[rows], source_vectors[anchors], anchors.numpy()
    )
    return {"rows": len(rows), "pieces_without_vector": without, **notes}


def _pieces_of(
    cut: Callable[[list[bytes]], list[list[int]]],
    words: list[str],
    spaced: np.ndarray,
    width: int,
    *,
    even: bool,
) -> Any:
    """``(words, width)`` sparse: pieces of each word, cut with its space as often as it has one.

    Rows sum to 1 where ``even``, else each piece counts in full.
    """
    from scipy.sparse import diags_array

    def share_of(prefix: bytes, shares: np.ndarray) -> Any:
        found = iter(cut([prefix + words[index].encode() for index in np.flatnonzero(shares)]))
        segmented = [next(found) if share else [] for share in shares.tolist()]
        return diags_array(shares) @ _incidence(segmented, width, even=even)

    return share_of(b" ", spaced) + share_of(b"", 1.0 - spaced)


def _incidence(segmented: list[list[int]], width: int, *, even: bool) -> Any:
    """``(words, width)`` sparse."""
    from scipy.sparse import csr_matrix

    sizes = np.array([len(ids) for ids in segmented], dtype=np.int64)
    values = np.repeat(1.0 / np.maximum(sizes, 1), sizes) if even else np.ones(int(sizes.sum()))
    columns = np.fromiter((i for ids in segmented for i in ids), np.int64, int(sizes.sum()))
    return csr_matrix((values, columns, np.r_[0, np.cumsum(sizes)]), shape=(len(sizes), width))
