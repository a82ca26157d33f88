"""WECHSEL (Minixhofer et al. 2022): nearest source tokens in aligned word vectors.

``E_t[i] = sum_j softmax_j(cos(f(i), f(j)) / temperature) E_s[j]`` over the 10 source tokens ``j``
nearest to ``i``, all source tokens of text being candidates; ``f`` are word vectors of one space.

Ordinary shared pieces are computed like any other, as in the release, which replaces a vocabulary;
``copy_overlap`` keeps the source language of one that is extended.

Departures from the release (CPJKU/wechsel 395e3d4):

* Targets are rotated into the source's space, not the source into the target's: the same cosines,
  and room for several target languages.
* Pieces that are no whole UTF-8 have no vector, where the release decodes all to U+FFFD and gives
  them one; special tokens are no candidates, where the release reads their names as words.
* Vectors of different widths are refused: its reduction shrinks the wrong model.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import ClassVar

from franken.declare import option
from franken.init_method.common.similarity import SoftmaxInit
from franken.lazy import later

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map import token_vectors
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.similarity import copy_or_say
    from franken.token_map.token_map import TokenMap
    from franken.token_map.token_vectors import (
        Weighting,
        decoded_vectors,
        languages_in_one_space,
        pooled_vectors,
        target_spaces,
    )


class TokenVectors(StrEnum):
    """How a piece gets a vector in a space of words."""

    decode = "decode"
    """The vector of its text, from n-grams where the text is no word."""
    words = "words"
    """The mean over the words whose segmentation holds it."""


@option
class WechselInit(SoftmaxInit):
    """Softmax over the nearest source tokens in word vectors aligned by a lexicon (WECHSEL)."""

    paper: ClassVar[str] = "Minixhofer et al. 2022"

    copy_overlap: bool = False
    """The release copies special tokens only, and so forgets a source language that the new
    vocabulary keeps; true, lm_transfer's WECHSEL+overlap, copies its pieces."""
    token_vectors: TokenVectors = TokenVectors.decode
    max_words: int | None = None
    """For ``token_vectors: words``: the most frequent words that take part."""

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map.

        Raises:
            DataError: where word vectors of a language or the lexicon are missing, or no pair of
                the lexicon can align them.
        """
        spaces, pairs = languages_in_one_space(resources, self.align, self.name)
        old, new = [spaces[resources.source_language]], target_spaces(spaces, resources)
        builder = MapBuilder(source, target, self, seed, resources.device)
        copy_or_say(builder)
        if self.token_vectors is TokenVectors.decode:
            target_vectors = decoded_vectors(builder.target_bytes, new)
            source_vectors = decoded_vectors(builder.source_bytes, old)
        else:
            pooled = partial(
                pooled_vectors,
                weighting=Weighting.counts,
                forms=token_vectors.WECHSEL_FORMS,
                max_words=self.max_words,
            )
            target_vectors = pooled(target, len(builder.target_bytes), new)
            source_vectors = pooled(source.tokenizer, source.rows, old)
        del spaces, old, new  # the rotated copies of all word vectors: the search needs the room
        return self.weighed_map(builder, target_vectors, source_vectors, {"alignment_pairs": pairs})
