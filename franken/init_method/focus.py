"""FOCUS (Dobler & de Melo 2023): sparse convex combinations of the overlap.

The overlap is copied. Other pieces take ``w = sparsemax(cos(f(t), f(o)))`` over the overlap ``o``
with a usable vector; ``f`` are vectors of the target pieces, so both sides are of one space and no
bilingual resource is needed.

Departures from the release (konstantinjdobler/focus c98a81c):

* Overlap is by bytes: the release decodes, so that all pieces that are no whole UTF-8 match each
  other, and of several source tokens it takes the one of the highest id.
* Fallback draws are keyed by token, not taken in the order of ids.
* Pieces are named alike for all kinds of tokenizers (``▁nyumba``), so that n-grams of byte-level
  pieces are of letters, not of mojibake.
"""

from __future__ import annotations

from typing import ClassVar

from franken.declare import option
from franken.init_method.common.similarity import SparsemaxInit
from franken.lazy import later
from franken.token_map.options import SpaceAlignment
from franken.word_vectors.base import VectorUnit

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.similarity import (
        Vectors,
        copy_shared,
        folded_overlap,
    )
    from franken.token_map.token_map import TokenMap
    from franken.token_map.token_vectors import (
        decoded_vectors,
        languages_in_one_space,
        piece_space_vectors,
        space_of,
        target_spaces,
    )


@option
class FocusInit(SparsemaxInit):
    """Sparsemax over shared pieces in vectors of the target pieces (FOCUS); needs monolingual
    text.
    """

    paper: ClassVar[str] = "Dobler & de Melo 2023"

    unit: VectorUnit = VectorUnit.pieces
    """``pieces``: vectors trained on text cut by the target tokenizer. ``words``: a piece has the
    word vector of its text."""
    align: SpaceAlignment = SpaceAlignment.lexicon
    """For ``unit: words`` with several target languages, which then meet in the source's space."""
    fuzzy: bool = False
    """Whether pieces that differ from a source piece by case or leading space only are overlap
    (fuzzy_match_all of the release)."""
    rare: bool = False
    """Whether pieces too rare for a vector of their own take one from their n-grams; the release
    does not (``unit: pieces``)."""

    def needs(self) -> frozenset[str]:
        if self.unit is VectorUnit.pieces:
            return frozenset({"piece_vectors"})
        return frozenset({"word_vectors"})

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map.

        Raises:
            DataError: where the vectors are missing, or no shared piece has one.
        """
        builder = MapBuilder(source, target, self, seed, resources.device)
        vectors = _vectors(builder, self, resources)
        folded = folded_overlap(builder, spaces=True) if self.fuzzy else {}
        partners = copy_shared(builder, folded)
        return self.weighed_map(builder, partners, vectors, vectors[1], {})


def _vectors(builder: MapBuilder, config: FocusInit, resources: InitResources) -> Vectors:
    if config.unit is VectorUnit.pieces:
        spaces = resources.require("piece_vectors", config.name)
        return piece_space_vectors(
            spaces, "target", builder.target, config.name, ngrams=config.rare
        )
    if len(resources.languages) == 1:  # cosines within one language need no alignment
        spaces = resources.require("word_vectors", config.name)
        own = [space_of(spaces, resources.languages[0], config.name)]
    else:
        found, _ = languages_in_one_space(resources, config.align, config.name)
        own = target_spaces(found, resources)
    return decoded_vectors(builder.target_bytes, own)
