"""Lists of byte strings as two flat tensors, the form in which they go to safetensors."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor


def pack(values: Sequence[bytes]) -> tuple[Tensor, Tensor]:
    """Join byte strings.

    Returns:
        ``(sum of lengths,)`` uint8 and ``(N + 1,)`` int64 offsets into it.
    """
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    blob = np.frombuffer(b"".join(values), dtype=np.uint8).copy()
    return torch.from_numpy(blob), torch.from_numpy(offsets)


def unpack(blob: Tensor, offsets: Tensor) -> list[bytes]:
    """Undo :func:`pack`."""
    data = blob.numpy().tobytes()
    ends = offsets.tolist()
    return [data[start:stop] for start, stop in pairwise(ends)]
