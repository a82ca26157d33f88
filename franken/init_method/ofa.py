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

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.init_method.common.similarity import SoftmaxInit, copied_in_one_space
from franken.lazy import later
from franken.token_map.options import SpaceAlignment

with later():
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map import token_vectors
    from franken.token_map.coordinates import factorise, save_factors
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import TokenMap
    from franken.token_map.token_vectors import Weighting, pooled_vectors


@option
class OfaInit(SoftmaxInit):
    """Softmax over nearest source tokens in multilingual word vectors, copies first, optionally
    factorised (OFA).
    """

    paper: ClassVar[str] = "Liu et al. 2024"

    version: ClassVar[int] = 3

    align: SpaceAlignment = SpaceAlignment.lexicon
    """The paper reads vectors of one space for all languages (``none``)."""
    fuzzy: bool = True
    """Copy also where pieces differ by case or leading space only, as the release."""
    keep_dim: int | None = None
    """Rank of the factorisation of the tables; ``null``: full. The new table is then the folded
    product of coordinates and primitives (control tokens apart), and these are saved beside it."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("keep_dim", self.keep_dim, 1)

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map.

        Raises:
            DataError: where word vectors of a language are missing or cannot be aligned.
        """
        builder, spaces, notes = copied_in_one_space(self, source, target, resources, seed)
        pooled = partial(
            pooled_vectors,
            weighting=Weighting.equal,
            forms=token_vectors.OFA_FORMS,
            max_words=self.max_words,
        )
        target_vectors = pooled(target, len(builder.target_bytes), spaces)
        source_vectors = pooled(source.tokenizer, source.rows, spaces)
        del spaces  # the rotated copies of all word vectors: the search needs the room
        return self.weighed_map(builder, target_vectors, source_vectors, notes)

    def own_rows(self, token_map: TokenMap, source: Table, part: str) -> Tensor | None:
        """With ``keep_dim``: the folded table ``F_t P``; control tokens are the source's bits.

        Its copied rows are their best approximation of that rank, not the source's.
        """
        if self.keep_dim is None:
            return None
        return factorise(token_map, source.matrices()[part], self.keep_dim, part=part).table()

    def save_beside(self, token_map: TokenMap, source: Table, directory: Path) -> None:
        """With ``keep_dim``: the factors of the table, in ``factors/``."""
        if self.keep_dim is not None:
            save_factors(token_map, source, self.keep_dim, directory / "factors")
