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

from functools import partial

from transformers import PreTrainedTokenizerBase

from franken.config.init_method.similarity import TokenVectors, WechselInit
from franken.parts.table import Table
from franken.token_map.builder import MapBuilder
from franken.token_map.fallback import build_with_fallback
from franken.token_map.resources import InitResources
from franken.token_map.similarity import copy_or_say, put_softmax_rows, warn_if_idle
from franken.token_map.token_map import TokenMap
from franken.token_map.token_vectors import (
    WECHSEL_FORMS,
    Weighting,
    decoded_vectors,
    languages_in_one_space,
    pooled_vectors,
    target_spaces,
)


def fit(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: WechselInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map.

    Raises:
        DataError: where word vectors of a language or the lexicon are missing, or no pair of the
            lexicon can align them.
    """
    spaces, pairs = languages_in_one_space(resources, config.align, config.name)
    old, new = [spaces[resources.source_language]], target_spaces(spaces, resources)
    builder = MapBuilder(source, target, config, seed)
    copy_or_say(builder)
    if config.token_vectors is TokenVectors.decode:
        target_vectors = decoded_vectors(builder.target_bytes, new)
        source_vectors = decoded_vectors(builder.source_bytes, old)
    else:
        pooled = partial(
            pooled_vectors,
            weighting=Weighting.counts,
            forms=WECHSEL_FORMS,
            max_words=config.max_words,
        )
        target_vectors = pooled(target, len(builder.target_bytes), new)
        source_vectors = pooled(source.tokenizer, source.rows, old)
    del spaces, old, new  # the rotated copies of all word vectors, which the search has no use for
    notes = put_softmax_rows(
        builder, target_vectors, source_vectors,
        neighbours=config.neighbours, temperature=config.temperature,
    )  # fmt: skip
    builder.notes["wechsel"] = {"alignment_pairs": pairs, **notes}
    warn_if_idle(config.name, "best_cosine" in notes, config.fallback)
    return build_with_fallback(builder, config.fallback)
