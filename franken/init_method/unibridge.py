"""UniBridge's FASE (Pham et al. 2024): copy what is the same, then what means the same.

1. Lexical: pieces of equal bytes, then pieces that differ by case only, take the source row.
2. Semantic: two spaces of pieces are trained on the same target text, cut by either tokenizer. A
   piece still open whose nearest source piece has it as its nearest open piece in turn takes that
   row.
3. The rest: ``sparsemax(cos / temperature)`` over the pieces of 1 and 2, in the target space.

Departures from the release (VinAIResearch/UniBridge bf2d63f):

* Its two spaces are trained apart and never aligned; ``align`` rotates the one onto the other
  first, by the pieces that both have.
* Where fewer pieces are shared than there are dimensions, the rotation is open and step 2 is left
  out with a warning.
* Semantic matches are token ids; the release indexes its deduplicated decoded vocabulary.
* Pieces that the text never holds are neither anchors nor matches (``rare``): their n-grams were
  not trained on them. They still take a row of the third kind.
* Pieces without a vector follow the fallback rule; the release gives them unseeded noise.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, ClassVar

from franken.config.checks import in_range
from franken.declare import option
from franken.errors import DataError
from franken.init_method.common.similarity import SparsemaxInit
from franken.lazy import later

with later():
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.neighbours import top_neighbours
    from franken.token_map.resources import InitResources
    from franken.token_map.similarity import (
        Vectors,
        copy_shared,
        folded_overlap,
        put_copies,
    )
    from franken.token_map.token_map import TokenMap
    from franken.token_map.token_vectors import piece_space_vectors
    from franken.word_vectors.common.align import aligned, identical_words

logger = logging.getLogger(__name__)


@option
class UnibridgeInit(SparsemaxInit):
    """Lexical copies, mutual nearest neighbours in piece vectors, then sparsemax over both
    (UniBridge FASE).
    """

    paper: ClassVar[str] = "Pham et al. 2024"

    semantic: bool = True
    """Whether mutual nearest neighbours of the two piece spaces take each other's row."""
    align: bool = True
    """Whether the source pieces' space is first rotated onto the target pieces' by the pieces that
    both have. The release compares two spaces trained apart, whose cosines say little; false is
    its behaviour."""
    rare: bool = False
    """Whether pieces that the text holds too rarely for a vector of their own are anchors and
    matches all the same, by n-grams that were never trained on them, as in the release."""
    nucleus: float = 1.0
    """Keep the largest weights whose sum reaches this; 1 keeps all."""

    def needs(self) -> frozenset[str]:
        own = {"piece_vectors"}
        return frozenset(own | {"source_piece_vectors"} if self.semantic else own)

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from in_range("nucleus", self.nucleus, 1e-6, 1.0)

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map.

        Raises:
            DataError: where piece vectors are missing, the two spaces share no piece to align
                them, or no copied piece has a vector.
        """
        spaces = dict(resources.require("piece_vectors", self.name))
        builder = MapBuilder(source, target, self, seed, resources.device)
        vectors, known = piece_space_vectors(spaces, "target", target, self.name, ngrams=True)
        usable = known
        if not self.rare:
            usable = piece_space_vectors(spaces, "target", target, self.name, ngrams=False)[1]
        folded = folded_overlap(builder, spaces=False)
        partners = copy_shared(builder, folded)
        notes: dict[str, Any] = {"lexical": len(partners), "folded_copies": len(folded)}
        if self.semantic:
            found, semantic_notes = _semantic(builder, self, spaces, (vectors, usable))
            put_copies(builder, found)
            partners |= found
            notes |= semantic_notes
        return self.weighed_map(
            builder, partners, (vectors, known), usable, notes, nucleus=self.nucleus
        )


def mutual_neighbours(queries: Tensor, anchors: Tensor) -> list[tuple[int, int]]:
    """Pairs (query, anchor) that are each other's nearest by cosine."""
    if not len(queries) or not len(anchors):
        return []
    forth = top_neighbours(queries, anchors, 1)[0].flatten()
    wanted = forth.unique()
    back = torch.full((len(anchors),), -1)
    back[wanted] = top_neighbours(anchors[wanted], queries, 1)[0].flatten()
    mutual = back[forth] == torch.arange(len(queries))
    return [(query, int(forth[query])) for query in mutual.nonzero().flatten().tolist()]


def _semantic(
    builder: MapBuilder, config: UnibridgeInit, spaces: dict[str, Any], target: Vectors
) -> tuple[dict[int, int], dict[str, int]]:
    """Open target id -> source row of its mutual nearest neighbour; and counts."""
    notes = {}
    tokenizer = builder.source.tokenizer
    if config.align and "source" in spaces:
        shared = identical_words(spaces["source"], spaces["target"])
        notes["alignment_pieces"] = len(shared)
        if 0 < len(shared) < spaces["target"].dim:
            logger.warning(
                "init_method=unibridge: %d pieces that both spaces hold do not determine a "
                "rotation in %d dimensions; the semantic step is left out. Train vectors of fewer "
                "dimensions (word_vectors.dim), or give text that holds more shared pieces",
                len(shared),
                spaces["target"].dim,
            )
            return {}, {**notes, "semantic_copies": 0}
        spaces["source"], _ = aligned(
            spaces["source"],
            spaces["target"],
            shared,
            what="init_method=unibridge, shared pieces",
        )
    vectors, known = piece_space_vectors(
        spaces, "source", tokenizer, config.name, ngrams=config.rare
    )
    if vectors.shape[1] != target[0].shape[1]:
        raise DataError(
            f"init_method=unibridge: vectors of target and source pieces have {target[0].shape[1]} "
            f"and {vectors.shape[1]} dimensions"
        )
    text = [data is not None for data in builder.source_bytes[: len(known)]]
    known = known & torch.tensor(text, dtype=torch.bool)
    rows = [row for row in builder.undecided() if target[1][row]]
    rows.sort(key=lambda row: builder.target_bytes[row] or b"")
    candidates = known.nonzero().flatten()
    pairs = mutual_neighbours(target[0][rows], vectors[candidates])
    found = {rows[query]: int(candidates[anchor]) for query, anchor in pairs}
    return found, {**notes, "semantic_copies": len(found)}
