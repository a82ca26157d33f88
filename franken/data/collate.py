"""From planned pieces to the tensors of a batch."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from franken.data.packing import Piece

IGNORED = -100
"""Label of a token without loss."""

Silence = Callable[[npt.NDArray[np.int64], npt.NDArray[np.bool_]], npt.NDArray[np.bool_]]
"""Of ``(B, L)`` tokens, and whether a piece begins at each: which have no loss."""


def collate(
    rows: Sequence[tuple[npt.NDArray[np.unsignedinteger[Any]], Sequence[Piece]]],
    length: int,
    pad: int,
    silence: Silence | None = None,
) -> dict[str, Tensor]:
    """Lay pieces of corpora side by side.

    The first token of every piece has no label: it would be predicted from another document.

    Args:
        rows: For each of the ``B`` sequences the tokens of its corpus and its pieces in order.
        length: ``L``, tokens per sequence.
        pad: Id that fills the rest of a sequence.
        silence: Tokens without loss beside those that pieces begin with.

    Returns:
        ``input_ids``, ``labels`` (not shifted, -100 without loss), ``position_ids`` (restart at
        each piece) and ``segment_ids`` (1, 2, ... per piece, 0 for padding), all ``(B, L)`` int64.
    """
    shape = (len(rows), length)
    ids = np.full(shape, pad, dtype=np.int64)
    begins = np.zeros(shape, dtype=np.int64)
    silent = np.zeros(shape, dtype=bool)
    ends = np.zeros(len(rows), dtype=np.int64)
    for row, (tokens, pieces) in enumerate(rows):
        at = 0
        for piece in pieces:
            stop = at + piece.stop - piece.start
            ids[row, at:stop] = tokens[piece.start : piece.stop]
            begins[row, at] = 1
            if piece.silent:
                silent[row, at : at + piece.silent] = True
            at = stop
        ends[row] = at
    places = np.arange(length)
    padding = places[None, :] >= ends[:, None]
    last_begin = np.maximum.accumulate(np.where(begins == 1, places, 0), axis=1)
    positions = np.where(padding, 0, places - last_begin)
    segments = np.where(padding, 0, np.cumsum(begins, axis=1))
    if silence is not None:
        silent |= silence(ids, begins == 1)
    labels = np.where(padding | silent | (begins == 1), IGNORED, ids)
    return {
        "input_ids": torch.from_numpy(ids),
        "labels": torch.from_numpy(labels),
        "position_ids": torch.from_numpy(positions),
        "segment_ids": torch.from_numpy(segments),
    }
