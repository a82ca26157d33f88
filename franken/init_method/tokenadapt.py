"""TokenAdapt (arXiv 2505.09738): a token from its own pieces and from tokens of like meaning.

With an encoder ``phi`` of strings. Local: the token's source pieces ``p``, each with the score
``(cos(phi(p), phi(t)) + len(p) / len(t)) / 2``, lengths in characters; global: the ``k`` source
tokens of the largest ``cos(phi(s), phi(t))``, those below ``min_cosine`` left out. Both are
softmaxes over the scores divided by the temperature, and
``row = (1 - share) local + share global``, for input and output alike. Without a global neighbour
the local part is all, and the other way round.

Departures: the release's encoder is a downloaded sentence encoder (nomic-embed-text-v2-moe); here
``vectors`` are word vectors of the target text's pieces, whose n-grams spell any string, and
``rows`` the source's own input rows, the mean over a string's pieces. Tokens that are equal but for
case are not copied (it would give two tokens one row).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import at_least, in_range
from franken.declare import option
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
    from franken.token_map.builder import MapBuilder
    from franken.token_map.neighbours import softmax_weights, top_neighbours
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import TokenMap
    from franken.token_map.token_vectors import piece_space_vectors
    from franken.tokenizer.pieces import text_of


class Encoder(StrEnum):
    """What makes a vector of a string."""

    vectors = "vectors"
    """Vectors of the target text's pieces; others from their n-grams."""
    rows = "rows"
    """The mean of the source's input rows of the string's pieces, without the mean source row."""


@option
class TokenAdaptInit(InitMethod):
    """A softmax over the new piece's own pieces and one over source pieces of like meaning, mixed
    (TokenAdapt).
    """

    paper: ClassVar[str] = "arXiv 2505.09738"

    encoder: Encoder = Encoder.vectors
    share: float = 0.3
    """Of the tokens of like meaning; the pieces have the rest."""
    temperature: float = 0.3
    """Of both softmaxes."""
    neighbours: int = 3
    """Source tokens of like meaning."""
    min_cosine: float = 0.6
    """Less like ones are left out."""
    fallback: Fallback = Fallback.mean
    """Rule for tokens with neither pieces nor neighbours."""

    def needs(self) -> frozenset[str]:
        return frozenset({"piece_vectors"} if self.encoder is Encoder.vectors else ())

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from in_range("share", self.share, 0.0, 1.0)
        yield from at_least("temperature", self.temperature, 1e-6)
        yield from at_least("neighbours", self.neighbours, 1)
        yield from in_range("min_cosine", self.min_cosine, -1.0, 1.0)

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map.

        Raises:
            DataError: where ``encoder=vectors`` has none.
        """
        builder = MapBuilder(source, target, self, seed, resources.device)
        builder.copy_overlap()
        rows = np.array(builder.undecided(), np.int64)
        cut = builder.encode(builder.target_bytes[row] or b"" for row in rows)
        new, old = self._encoded(builder, resources, rows, cut)
        local = self._local(builder, rows, cut, new, old)
        near = self._near(builder, new, old)
        has_local = np.bincount(local[0], minlength=len(rows)) > 0
        has_near = np.bincount(near[0], minlength=len(rows)) > 0
        share = np.where(has_near, np.where(has_local, self.share, 1.0), 0.0)
        for (owner, columns, weights), part in ((local, 1 - share), (near, share)):
            builder.put_entries(rows[owner], columns, weights * part[owner])
        builder.notes["tokenadapt"] = {"tokens": len(rows), "with_neighbours": int(has_near.sum())}
        return builder.build_with_fallback(self.fallback)

    def _encoded(
        self,
        builder: MapBuilder,
        resources: InitResources,
        rows: np.ndarray,
        cut: list[list[int]],
    ) -> tuple[Tensor, Tensor]:
        """Unit vectors of the tokens ``(n, d)`` and of the source rows ``(S, d)``; 0: none."""
        text = torch.tensor([bool(data) for data in builder.source_bytes])
        old = torch.zeros(builder.source.rows, 0)
        if self.encoder is Encoder.rows:
            found = builder.source.input.float()
            old = torch.where(text[:, None], found - found[text].mean(0), 0.0)
            new = torch.stack([old[ids].mean(0) if ids else torch.zeros(old.shape[1])
                               for ids in cut]) if cut else old[:0]  # fmt: skip
            return normalize(new, dim=1), normalize(old, dim=1)
        spaces = resources.require("piece_vectors", self.name)
        new, _ = piece_space_vectors(spaces, "target", builder.target, self.name, ngrams=True)
        tokenizer = builder.source.tokenizer
        shared = {"source": spaces["target"]}  # one space for both, or cosines mean nothing
        found, _ = piece_space_vectors(shared, "source", tokenizer, self.name, ngrams=True)
        old = torch.zeros(builder.source.rows, found.shape[1])
        count = min(len(found), len(old))
        old[:count] = torch.where(text[:count, None], found[:count], 0.0)
        return normalize(new[torch.from_numpy(rows)], dim=1), normalize(old, dim=1)

    def _local(
        self,
        builder: MapBuilder,
        rows: np.ndarray,
        cut: list[list[int]],
        new: Tensor,
        old: Tensor,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Token numbers, source rows and weights that sum to 1 over a token's pieces."""
        sizes = np.array([len(ids) for ids in cut], np.int64)
        owner = np.repeat(np.arange(len(cut)), sizes)
        columns = np.array([index for ids in cut for index in ids], np.int64)
        cosines = (new[owner] * old[columns]).sum(1).double().numpy()
        whole = np.array([_length(builder.target_bytes[row]) for row in rows], float)
        parts = np.array([_length(builder.source_bytes[column]) for column in columns], float)
        scores = (cosines + parts / np.maximum(whole[owner], 1.0)) / 2 / self.temperature
        highest = np.full(len(cut), -np.inf)
        np.maximum.at(highest, owner, scores)
        powers = np.exp(scores - highest[owner])
        sums = np.bincount(owner, powers, len(cut))
        return owner, columns, powers / sums[owner]

    def _near(
        self, builder: MapBuilder, new: Tensor, old: Tensor
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Token numbers, source rows and weights that sum to 1 over a token's neighbours."""
        asked, usable = new.any(1).nonzero().flatten(), old.any(1).nonzero().flatten()
        best, scores = top_neighbours(
            new, old.to(builder.device), self.neighbours, query_rows=asked, anchor_rows=usable
        )
        taken = scores >= self.min_cosine
        weights = softmax_weights(scores.masked_fill(~taken, -torch.inf), self.temperature)
        places, order = taken.nonzero(as_tuple=True)
        return (
            asked[places].numpy(),
            usable[best[places, order]].numpy(),
            weights[places, order].numpy(),
        )


def _length(data: bytes | None) -> int:
    """Characters of a piece without the space before it; bytes where it is no text."""
    data = (data or b"").strip() or data or b""
    return len(text_of(data) or data)
