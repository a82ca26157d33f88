"""Weighted means of the source rows of a piece's own subtokens, by their position 1..k.

``adaptivocab``: input weights ~ exp(2i), output weights ~ exp(-2i), as token-distillation
implements AdaptiVocab: the input of a word is read at its last piece, its output begins with the
first. ``last_first``: transplant-vocab, without the log(n) bias correction that its README names as
missing. ``first_last`` and ``sum``: tokensurgeon; its ``weighted_mean`` is left out, since its
weights run against its own comment.

Tied tables have one matrix and take the input's weights; or, with ``untie``, a head of their own.
One row that is read and written has to be milder than two: see ``rate`` and docs/results.md.
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
    from dataclasses import replace

    import numpy as np
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import TokenMap


PAPER_RATE = 2.0
SHARED_RATE = 0.5


class PoolingScheme(StrEnum):
    """Weights of a piece's k source tokens, for the input and for the output embeddings."""

    adaptivocab = "adaptivocab"
    """Input exp(rate i), so that the last token leads; output exp(-rate i), the first one."""
    last_first = "last_first"
    """Input: the last token alone. Output: decay^i from the first (transplant-vocab)."""
    first_last = "first_last"
    """Mean of the first and the last token (tokensurgeon)."""
    sum = "sum"
    """Weight 1 each (tokensurgeon): the rows come out too long."""
    uniform = "uniform"
    """1/k each: ``subtoken_mean``."""


@option
class WeightedPoolingInit(InitMethod):
    """Subtoken rows weighted by position, input and output otherwise (AdaptiVocab,
    transplant-vocab).
    """

    paper: ClassVar[str] = "AdaptiVocab; transplant-vocab; tokensurgeon"

    scheme: PoolingScheme = PoolingScheme.adaptivocab
    rate: float | None = None
    """Exponent per position of ``adaptivocab``; ``null``: 2 as in the paper, and 0.5 where one row
    is input and output."""
    decay: float = 0.5
    """Factor per position of the output side of ``last_first``: 0 is the first token alone, 1 the
    mean."""
    untie: bool = False
    """Give a tied model an output table of its own, with the output's weights: as many parameters
    more as the table has."""

    def head_of_its_own(self) -> bool:
        """As ``untie`` says."""
        return self.untie

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if self.rate is not None:
            yield from at_least("rate", self.rate, 0.0)
        yield from in_range("decay", self.decay, 0.0, 1.0)

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map; ``resources`` are not used."""
        builder = MapBuilder(source, target, self, seed)
        builder.copy_overlap()
        rows = builder.undecided()
        subtokens = builder.encode(builder.target_bytes[row] or b"" for row in rows)
        sizes = np.array([len(ids) for ids in subtokens], dtype=np.int64)
        shared = source.output is None and not self.untie
        rates = position_weights(sizes, self.at_rate(shared))
        owners = np.repeat(np.array(rows, dtype=np.int64), sizes)
        columns = np.array([index for ids in subtokens for index in ids], dtype=np.int64)
        if self.scheme in (PoolingScheme.adaptivocab, PoolingScheme.last_first):
            builder.put_entries(owners, columns, rates[0], output_weights=rates[1])
        else:
            builder.put_entries(owners, columns, rates[0])
        return builder.build(Fallback.mean)

    def at_rate(self, shared: bool) -> WeightedPoolingInit:
        """These options with a rate; ``shared``: one row is input and output."""
        default = SHARED_RATE if shared else PAPER_RATE
        return replace(self, rate=default if self.rate is None else self.rate)


def position_weights(
    sizes: np.ndarray, config: WeightedPoolingInit
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of all subtokens of all pieces.

    Args:
        sizes: ``(n,)`` number of subtokens of each piece.
        config: scheme, rate (``None``: the paper's) and decay.

    Returns:
        Input and output weights, ``(sum of sizes,)`` each; they sum to 1 per piece except under
        ``sum``.
    """
    starts = np.cumsum(sizes) - sizes
    from_first = np.arange(sizes.sum()) - np.repeat(starts, sizes)
    from_last = np.repeat(sizes, sizes) - 1 - from_first
    scheme, rate = config.scheme, PAPER_RATE if config.rate is None else config.rate
    if scheme == PoolingScheme.adaptivocab:  # a common factor cancels, and exp(2k) overflows
        inward, outward = np.exp(-rate * from_last), np.exp(-rate * from_first)
    elif scheme == PoolingScheme.last_first:
        inward, outward = (from_last == 0).astype(float), float(config.decay) ** from_first
    elif scheme == PoolingScheme.first_last:
        inward = outward = (from_first == 0).astype(float) + (from_last == 0)
    else:
        inward = outward = np.ones(len(from_first))
    if scheme == PoolingScheme.sum:
        return inward, outward
    return _normalised(inward, starts, sizes), _normalised(outward, starts, sizes)


def _normalised(weights: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    if not len(weights):
        return weights
    totals = np.add.reduceat(weights, starts[sizes > 0])
    shares: np.ndarray = weights / np.repeat(totals, sizes[sizes > 0])
    return shares
