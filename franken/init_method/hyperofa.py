"""HyperOFA (Özeren et al. 2025, arXiv 2504.21018): OFA's coordinates, said by a small network.

The source table is factorised as OFA does, ``E ~ F P`` of rank ``keep_dim``. A network reads the
vectors of the words that hold a piece, in one space of all languages, and learns the coordinates of
the source's pieces; then it says those of new pieces, whose rows are ``F_t P``. Shared pieces are
copied (exactly, as everywhere in this house); pieces of no word follow ``fallback``. The network is
in ``franken/token_map/set_network.py``.

Departures: words are any aligned spaces, not ColexNet+; the networks of the paper have 22 to 210
million weights and 80 to 470 epochs on GPUs, so width and epochs here are for a CPU, and the
learning rate is ten times theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from franken.config.checks import at_least, in_range
from franken.declare import option
from franken.errors import CompatibilityError
from franken.init_method.common.similarity import SimilarityInit, copied_in_one_space, word_needs
from franken.lazy import later
from franken.token_map.options import SpaceAlignment

with later():
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.seeds import derive_seed
    from franken.token_map import token_vectors
    from franken.token_map.coordinates import coordinates, primitives
    from franken.token_map.resources import InitResources
    from franken.token_map.set_network import (
        Schedule,
        WordSets,
        predicted,
        train_network,
    )
    from franken.token_map.token_map import Provenance, TokenMap
    from franken.token_map.token_vectors import words_of_pieces


@option
class HyperOfaInit(SimilarityInit):
    """Coordinates of pieces said by a network that reads the vectors of their words (HyperOFA)."""

    paper: ClassVar[str] = "Özeren et al. 2025, arXiv 2504.21018"
    map_says_all: ClassVar[bool] = False

    align: SpaceAlignment = SpaceAlignment.lexicon
    """How the word vectors of all languages come into one space."""
    fuzzy: bool = True
    """Copy also where pieces differ by case or leading space only, as OFA's release."""
    keep_dim: int = 100
    """Rank of the factorisation; the table's width where that is less."""
    max_words: int | None = None
    """The most frequent words of each language that take part."""
    words_per_piece: int = 32
    """Of a piece's words so many are read, the most frequent first; 256 in the paper."""
    hidden: int = 128
    """Width of the network's states, of each direction."""
    dropout: float = 0.2
    """Share of the network's states that is dropped while it trains."""
    epochs: int = 10
    """Times that the network sees each source piece."""
    lr: float = 1e-3
    """Of Adam; it falls by 5 % after each tenth of the epochs."""
    contrastive: float = 0.1
    """Weight of the contrastive part of the loss; the rest is the distance."""
    temperature: float = 0.25
    """Of the contrastive part: 0.5 in the paper for RoBERTa, 0.25 for XLM-R."""

    def needs(self) -> frozenset[str]:
        return word_needs(self.align)

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        for name in ("keep_dim", "max_words", "words_per_piece", "hidden", "epochs"):
            yield from at_least(name, getattr(self, name), 1)
        yield from in_range("dropout", self.dropout, 0.0, 0.99)
        yield from in_range("contrastive", self.contrastive, 0.0, 1.0)
        for name in ("lr", "temperature"):
            yield from at_least(name, getattr(self, name), 1e-8)

    def fit(
        self, source: Table, target: PreTrainedTokenizerBase, resources: InitResources, seed: int
    ) -> TokenMap:
        """Copy what is shared, train on the source's pieces, and say the rows of the others.

        Raises:
            DataError: where word vectors of a language are missing or cannot be aligned.
        """
        builder, spaces, notes = copied_in_one_space(self, source, target, resources, seed)
        old, new = (
            words_of_pieces(
                tokenizer, rows, spaces, forms=token_vectors.OFA_FORMS, max_words=self.max_words,
                most=self.words_per_piece,
            )
            for tokenizer, rows in (
                (source.tokenizer, source.rows), (target, len(builder.target_bytes))
            )
        )  # fmt: skip
        rows = [row for row in builder.undecided() if new.sizes()[row]]
        text = torch.tensor([data is not None for data in builder.source_bytes])
        told = text & (old.sizes() > 0)
        self._given, losses = {}, {}
        for part, table in (("input", source.input), ("output", source.output)):
            if table is None:
                continue
            basis, _ = primitives(table, text, min(self.keep_dim, source.hidden_size))
            learnt = derive_seed(seed, "hyperofa", part)
            made, losses[part] = self._said(coordinates(table, basis), old, told, new, rows, learnt)
            self._given[part] = (made @ basis.float()).to(table.dtype)
        builder.mark(rows, Provenance.given)
        builder.notes[self.name] = {
            **notes, "learnt_from": int(told.sum()), "said": len(rows), "losses": losses,
        }  # fmt: skip
        return builder.build_with_fallback(self.fallback)

    def _said(
        self, known: Tensor, old: WordSets, told: Tensor, new: WordSets, rows: list[int], seed: int
    ) -> tuple[Tensor, list[float]]:
        """``(len(rows), k)`` coordinates of new pieces, and the loss of each epoch."""
        learnt = told.nonzero().flatten()
        unit = known[learnt].abs().mean().clamp(min=1e-12)
        network, losses = train_network(
            old, learnt.tolist(), known[learnt] / unit, hidden=self.hidden, dropout=self.dropout,
            schedule=Schedule(self.epochs, self.lr, self.contrastive, self.temperature), seed=seed,
        )  # fmt: skip
        return predicted(network, new, rows) * unit, losses

    def given_rows(
        self, token_map: TokenMap, target: PreTrainedTokenizerBase, part: str
    ) -> Tensor | None:
        """What the network of the last :meth:`fit` said.

        Raises:
            CompatibilityError: where there was none: rows are in no map.
        """
        if part == "bias":
            return None
        given: dict[str, Tensor] = getattr(self, "_given", {})
        wanted = int((token_map.provenance == int(Provenance.given)).sum())
        if part not in given or len(given[part]) != wanted:
            raise CompatibilityError(
                f"init_method={self.name}: the network that said the rows of this map is not kept; "
                "fit it again"
            )
        return torch.as_tensor(given[part])
