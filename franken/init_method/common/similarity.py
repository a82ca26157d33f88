"""Initialisers that weigh source rows by the similarity of static vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from franken.config.checks import at_least
from franken.errors import DataError
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback, SpaceAlignment

if TYPE_CHECKING:
    from franken.init_method.hyperofa import HyperOfaInit
    from franken.init_method.ofa import OfaInit

with later():
    import numpy as np
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.similarity import (
        Vectors,
        anchors_in_byte_order,
        copy_shared,
        folded_overlap,
        put_softmax_rows,
        put_sparsemax_rows,
        warn_if_idle,
    )
    from franken.token_map.token_map import TokenMap
    from franken.token_map.token_vectors import languages_in_one_space
    from franken.word_vectors import VectorSpace


@dataclass
class SimilarityInit(InitMethod):
    """What initialisers over static vectors have."""

    fallback: Fallback = Fallback.normal
    """Rule for pieces without a vector."""


@dataclass
class SoftmaxInit(SimilarityInit):
    """Softmax over the nearest source pieces, in word vectors of one space for all languages."""

    align: SpaceAlignment = SpaceAlignment.lexicon
    """How the word vectors of all languages come into one space."""
    neighbours: int = 10
    """Source tokens that a new row is made of."""
    temperature: float = 0.1
    """Divides the cosines before the softmax."""
    max_words: int | None = None
    """The most frequent words of each language that take part."""

    def needs(self) -> frozenset[str]:
        return word_needs(self.align)

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("neighbours", self.neighbours, 1)
        yield from at_least("temperature", self.temperature, 1e-6)
        yield from at_least("max_words", self.max_words, 1)

    def weighed_map(
        self, builder: MapBuilder, target: Vectors, source: Vectors, notes: dict[str, Any]
    ) -> TokenMap:
        """The map, once all copies are made: every open piece with a vector is weighed."""
        found = put_softmax_rows(
            builder, target, source, neighbours=self.neighbours, temperature=self.temperature
        )
        builder.notes[self.name] = {**notes, **found}
        warn_if_idle(self.name, "best_cosine" in found, self.fallback)
        return builder.build_with_fallback(self.fallback)


@dataclass
class SparsemaxInit(SimilarityInit):
    """Sparsemax over copied pieces, in vectors of the target's pieces."""

    temperature: float = 1.0
    """Divides the cosines; smaller is sparser."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("temperature", self.temperature, 1e-6)

    def weighed_map(
        self, builder: MapBuilder, partners: dict[int, int], vectors: Vectors, usable: Tensor,
        notes: dict[str, Any], *, nucleus: float = 1.0,
    ) -> TokenMap:  # fmt: skip
        """The map, once all copies are made: every open piece with a vector is weighed.

        Args:
            builder: holds the copies.
            partners: target id -> source row of the pieces that may be anchors.
            vectors: of target ids.
            usable: ``(T,)`` bool, target ids whose vector is good enough for an anchor.
            notes: what the method says of its copies.
            nucleus: of each row's weights, the largest whose sum reaches this are kept.

        Raises:
            DataError: where pieces are open and no partner has a usable vector.
        """
        anchors = [row for row in anchors_in_byte_order(builder, partners) if usable[row]]
        still_open = builder.undecided()
        if still_open and not anchors:
            raise DataError(
                f"init_method={self.name} has no anchor: of {len(partners)} pieces that the "
                "vocabularies share, none has a vector. Check that the vectors are of this target "
                "vocabulary, lower word_vectors.min_count, or choose a method without overlap such "
                "as lexicon"
            )
        rows = np.asarray([row for row in still_open if vectors[1][row]], np.int64)
        found = put_sparsemax_rows(
            builder, rows, vectors[0][rows], vectors[0][anchors],
            np.asarray([partners[row] for row in anchors]),
            temperature=self.temperature, nucleus=nucleus,
        )  # fmt: skip
        builder.notes[self.name] = {
            "overlap": len(partners),
            "overlap_without_vector": len(partners) - len(anchors),
            **notes,
            "pieces_without_vector": len(still_open) - len(rows),
            **found,
        }
        warn_if_idle(self.name, bool(len(rows)) or not still_open, self.fallback)
        return builder.build_with_fallback(self.fallback)


def copied_in_one_space(
    method: OfaInit | HyperOfaInit,
    source: Table,
    target: PreTrainedTokenizerBase,
    resources: InitResources,
    seed: int,
) -> tuple[MapBuilder, list[VectorSpace], dict[str, Any]]:
    """How OFA begins: word vectors of all languages in one space, and what is shared copied.

    Returns:
        The builder with its copies, case and leading space aside where the method is ``fuzzy``;
        the spaces; notes.

    Raises:
        DataError: where word vectors of a language are missing or cannot be aligned.
    """
    found, pairs = languages_in_one_space(resources, method.align, method.name)
    builder = MapBuilder(source, target, method, seed, resources.device)
    fuzzy = method.fuzzy and method.copy_overlap
    folded = folded_overlap(builder, spaces=True) if fuzzy else {}
    copy_shared(builder, folded)
    return builder, list(found.values()), {"alignment_pairs": pairs, "fuzzy_copies": len(folded)}


def word_needs(align: SpaceAlignment) -> frozenset[str]:
    """What aligned word vectors are made of."""
    words = frozenset({"word_vectors"})
    return words | {"lexicon"} if align is SpaceAlignment.lexicon else words
