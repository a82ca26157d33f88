"""Two tokenizers over the same text: which tokens of the one cover which of the other.

Positions are counted in canonical bytes, not in the character offsets of the backends: those leave
out or include the space before a word as the post-processor likes, and give all bytes of a letter
the same place.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from franken.tokenizer.pieces import canonical_bytes, encode_pieces

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BATCH_TEXTS = 1024


@dataclass(frozen=True)
class TokenSpans:
    """The tokens of many texts in a row: ids and where they begin and end, in bytes."""

    ids: np.ndarray
    """``(n,)`` int64."""
    starts: np.ndarray
    """``(n,)`` int64; the texts follow each other without a gap."""
    ends: np.ndarray


@dataclass(frozen=True)
class SpanBatch:
    """Both segmentations of one batch of texts, over one line of bytes."""

    source: TokenSpans
    target: TokenSpans
    edges: np.ndarray
    """``(texts + 1,)``: where the texts begin, and the end."""
    skipped: int
    """Texts left out: one of the tokenizers changed them (unknown letters, normalisation)."""

    def cover(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Source tokens that share a byte with target tokens.

        Args:
            tokens: ``(m,)`` places in ``target``.

        Returns:
            First place in ``source``, and one past the last, ``(m,)`` each.
        """
        starts, ends = self.target.starts[tokens], self.target.ends[tokens]
        first = np.searchsorted(self.source.ends, starts, side="right")
        return first, np.searchsorted(self.source.starts, ends, side="left")


class SpanReader:
    """Segments text with two tokenizers, as running text after a space."""

    def __init__(
        self, source: "PreTrainedTokenizerBase", target: "PreTrainedTokenizerBase"
    ) -> None:
        self._tokenizers = (source, target)
        self._lengths = tuple(_lengths(tokenizer) for tokenizer in self._tokenizers)

    def read(self, texts: Iterable[str], *, batch_texts: int = _BATCH_TEXTS) -> Iterator[SpanBatch]:
        """Batches of texts; where a text is cut into batches does not change what is in them."""
        waiting = iter(texts)
        while batch := list(islice(waiting, batch_texts)):
            yield self._batch([f" {text.strip()}".encode() for text in batch if text.strip()])

    def _batch(self, texts: list[bytes]) -> SpanBatch:
        sides = [encode_pieces(tokenizer, texts) for tokenizer in self._tokenizers]
        wanted = [len(text) for text in texts]
        good = [
            place
            for place, size in enumerate(wanted)
            if all(
                int(lengths[ids[place]].sum()) == size
                for lengths, ids in zip(self._lengths, sides, strict=True)
            )
        ]
        edges = np.zeros(len(good) + 1, dtype=np.int64)
        np.cumsum([wanted[place] for place in good], out=edges[1:])
        source, target = (
            _spans([ids[place] for place in good], lengths)
            for ids, lengths in zip(sides, self._lengths, strict=True)
        )
        return SpanBatch(source, target, edges, len(texts) - len(good))


def _lengths(tokenizer: "PreTrainedTokenizerBase") -> np.ndarray:
    """Bytes of each token; tokens that are no text get a length that fits nowhere."""
    return np.array(
        [-(10**9) if data is None else len(data) for data in canonical_bytes(tokenizer)],
        dtype=np.int64,
    )


def _spans(texts: list[list[int]], lengths: np.ndarray) -> TokenSpans:
    ids = np.array([index for text in texts for index in text], dtype=np.int64)
    ends = np.cumsum(lengths[ids])
    return TokenSpans(ids, ends - lengths[ids], ends)
