"""OFA (Liu et al. 2024): multilingual word vectors, copies first, optionally factorised.

A piece's vector is the unweighted mean over the words, of all languages, whose segmentation holds
it; the overlap is copied, up to case and leading space; other pieces take
``softmax(cos / temperature)`` over the 10 nearest source pieces. With ``keep_dim: k`` the tables
are rank ``k``: ``E_s ~ F P``, ``F_t = W F``, new table ``F_t P``; see ``coordinates.py``. The
factors are kept beside the table (``coordinates.load_factors``); training works on the product.

Departures from the release (cisnlp/ofa 73fce73):

* Its vectors (ColexNet+, one space for over 1,000 languages) are any spaces that can be aligned.
* Token id 0 counts; forms that fold together do not stop the run.
* The head's bias is carried over; the release leaves it at a fresh draw.
"""

from functools import partial
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from franken.config.init_method.similarity import OfaInit
from franken.parts.table import Table
from franken.token_map.builder import MapBuilder
from franken.token_map.coordinates import factorise, save_factors
from franken.token_map.fallback import build_with_fallback
from franken.token_map.resources import InitResources
from franken.token_map.similarity import (
    folded_overlap,
    put_copies,
    put_softmax_rows,
    warn_if_idle,
)
from franken.token_map.token_map import TokenMap
from franken.token_map.token_vectors import (
    OFA_FORMS,
    Weighting,
    languages_in_one_space,
    pooled_vectors,
)


def fit(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: OfaInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map.

    Raises:
        DataError: where word vectors of a language are missing or cannot be aligned.
    """
    found, pairs = languages_in_one_space(resources, config.align, config.name)
    spaces = list(found.values())
    builder = MapBuilder(source, target, config, seed)
    folded = folded_overlap(builder, spaces=True) if config.fuzzy and config.copy_overlap else {}
    builder.copy_overlap()
    put_copies(builder, folded)
    pooled = partial(
        pooled_vectors, weighting=Weighting.equal, forms=OFA_FORMS, max_words=config.max_words
    )
    target_vectors = pooled(target, len(builder.target_bytes), spaces)
    source_vectors = pooled(source.tokenizer, source.rows, spaces)
    del found, spaces  # the rotated copies of all word vectors, which the search has no use for
    notes = put_softmax_rows(
        builder, target_vectors, source_vectors,
        neighbours=config.neighbours, temperature=config.temperature,
    )  # fmt: skip
    builder.notes["ofa"] = {"alignment_pairs": pairs, "fuzzy_copies": len(folded), **notes}
    warn_if_idle(config.name, "best_cosine" in notes, config.fallback)
    return build_with_fallback(builder, config.fallback)


def own_rows(token_map: TokenMap, source: Table, config: OfaInit, part: str) -> Tensor | None:
    """With ``keep_dim``: the folded table ``F_t P``; control tokens keep the bits of the source's.

    Its copied rows are their best approximation of that rank, not the source's.
    """
    if config.keep_dim is None:
        return None
    return factorise(token_map, source.matrices()[part], config.keep_dim, part=part).table()


def save_beside(token_map: TokenMap, source: Table, config: OfaInit, directory: Path) -> None:
    """With ``keep_dim``: the factors of the table, in ``factors/``."""
    if config.keep_dim is not None:
        save_factors(token_map, source, config.keep_dim, directory / "factors")
