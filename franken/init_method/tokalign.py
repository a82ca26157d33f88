"""TokAlign (arXiv 2506.03523): a one-to-one map from vectors of tokens on both sides.

Vectors of the target's and of the source's pieces are trained apart on the same text. Shared pieces
are pivots: a piece is represented by its cosines to them in its own space, so that the spaces need
no alignment, and takes the row of the source piece whose representation is nearest. TokAlign++
(arXiv 2605.13429) calls this a lexicon between two vocabularies; how it induces one could not be
read, and ``induction=csls`` is the field's usual answer to hubs: source pieces that are near to
many new ones are marked down by how near they are (Lample et al. 2018).

Departures from the release (ZNLP/TokAlign):

* Representations are compared by cosine; the release takes the inner product, under which pieces
  near every pivot win everywhere (``normalise=false``).
* A piece without a vector takes the mean of its subtokens' rows; the release draws a random row.
* ``word_vectors=glove`` are its vectors; any others of pieces serve too.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.errors import DataError
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback

with later():
    import numpy as np
    import torch
    from torch import Tensor
    from torch.nn.functional import normalize
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.seeds import derive_seed
    from franken.token_map.builder import MapBuilder
    from franken.token_map.neighbours import top_neighbours
    from franken.token_map.resources import InitResources
    from franken.token_map.similarity import (
        anchors_in_byte_order,
        cosine_notes,
        warn_if_idle,
    )
    from franken.token_map.token_map import TokenMap
    from franken.token_map.token_vectors import piece_space_vectors


_CROWD = 10
"""Nearest new pieces over which a source piece's crowdedness is the mean."""


class Induction(StrEnum):
    """How the nearest source piece is told."""

    nearest = "nearest"
    """By likeness alone."""
    csls = "csls"
    """By twice the likeness less the mean likeness of the source piece's ten nearest new ones."""


@option
class TokAlignInit(InitMethod):
    """Each new piece takes the row of the one source piece that has the same neighbours in text
    (TokAlign).
    """

    paper: ClassVar[str] = "TokAlign, arXiv 2506.03523"
    came_later: ClassVar[tuple[str, ...]] = ("induction",)

    pivots: int = 300
    """Shared pieces, drawn by the seed, to which cosines are taken."""
    normalise: bool = True
    """Compare representations by their cosine; false: by their inner product, as released."""
    induction: Induction = Induction.nearest
    fallback: Fallback = Fallback.subtoken_mean
    """Rule for pieces without a vector."""

    def needs(self) -> frozenset[str]:
        return frozenset({"piece_vectors", "source_piece_vectors"})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("pivots", self.pivots, 1)

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map.

        Raises:
            DataError: where vectors of a side are missing, or no shared piece has one on both.
        """
        spaces = resources.require("piece_vectors", self.name)
        builder = MapBuilder(source, target, self, seed, resources.device)
        new = piece_space_vectors(spaces, "target", target, self.name, ngrams=False)
        old = piece_space_vectors(spaces, "source", source.tokenizer, self.name, ngrams=False)
        has_row = torch.zeros_like(old[1])
        has_row[: source.rows] = torch.tensor([d is not None for d in builder.source_bytes])[
            : len(has_row)
        ]
        old = old[0], old[1] & has_row
        builder.copy_overlap()
        pairs = self._pivots(builder, new[1], old[1], seed)
        rows = torch.tensor([row for row in builder.undecided() if new[1][row]], dtype=torch.int64)
        columns = old[1].nonzero().flatten()
        left = self._relative(new[0][rows], new[0][pairs[0]])
        right = self._relative(old[0][columns], old[0][pairs[1]])
        if self.induction is Induction.csls and len(rows):
            left, right = _less_crowded(left, right)
        best, scores = top_neighbours(left, right.to(builder.device), 1, metric="dot")
        builder.put_entries(rows.numpy(), columns[best[:, 0]].numpy(), np.ones(len(rows)))
        builder.notes["tokalign"] = {
            "pivots": len(pairs[0]),
            "source_pieces_with_vector": len(columns),
            "source_pieces_taken": len(best.unique()),
            **(cosine_notes(scores[:, 0]) if self._cosines() and len(rows) else {}),
        }
        without = len(builder.undecided())
        warn_if_idle(self.name, bool(len(rows)) or not without, self.fallback)
        return builder.build_with_fallback(self.fallback)

    def _cosines(self) -> bool:
        return self.normalise and self.induction is Induction.nearest

    def _pivots(
        self, builder: MapBuilder, new: Tensor, old: Tensor, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Target ids and source rows of the pivots; ``new``, ``old``: who has a vector."""
        shared = {
            row: column for row, column in builder.overlap.items()
            if builder.target_bytes[row] and new[row] and old[column]
        }  # fmt: skip
        if not shared:
            raise DataError(
                f"init_method={self.name} has no pivot: of {len(builder.overlap)} pieces that the "
                "vocabularies share, none has vectors of both sides. Give more text, lower "
                "word_vectors.min_count, or choose a method without pivots such as subtoken_mean"
            )
        rows = anchors_in_byte_order(builder, shared)
        generator = torch.Generator().manual_seed(derive_seed(seed, "pivots"))
        drawn = torch.randperm(len(rows), generator=generator)[: self.pivots].sort().values
        chosen = torch.tensor(rows)[drawn]
        return chosen, torch.tensor([shared[row] for row in chosen.tolist()])

    def _relative(self, vectors: Tensor, pivots: Tensor) -> Tensor:
        """``(n, p)`` cosines to the pivots, of length 1 where they are compared by cosine."""
        found = normalize(vectors.float(), dim=1) @ normalize(pivots.float(), dim=1).T
        return normalize(found, dim=1) if self.normalise else found


def _less_crowded(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors whose inner product is CSLS but for what one query has with all: ``2 x.y - r(y)``.

    ``r(y)`` is the mean of ``y``'s largest products with ``left``.
    """
    _, near = top_neighbours(right, left, _CROWD, metric="dot")
    ones = torch.ones(len(left), 1)
    return torch.cat([left, ones], 1), torch.cat([2 * right, -near.mean(1, keepdim=True)], 1)
