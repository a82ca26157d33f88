"""Standard normal rows that depend on a seed and the token's key, and on nothing else.

One counter-based generator (Philox) per row, keyed by a hash: order, chunk size and position in the
vocabulary cannot reach the numbers. About 40 microseconds per row of 2304 (one core).
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def standard_normal(keys: Sequence[bytes], columns: int, *, seed: int, purpose: str) -> Tensor:
    """Draw N(0, 1) numbers.

    Args:
        keys: name of each row.
        columns: D.
        seed: seed of the fit.
        purpose: what the numbers are for; other purposes get independent numbers.

    Returns:
        ``(len(keys), columns)`` float32.
    """
    drawn = np.empty((len(keys), columns), dtype=np.float32)
    prefix = f"{seed}\x1f{purpose}\x1f".encode()
    # One generator, put back to the start under each key: to make one takes longer than to draw.
    bits = np.random.Philox(key=0)
    generator, start = np.random.Generator(bits), bits.state
    for row, key in zip(drawn, keys, strict=True):
        digest = hashlib.blake2b(prefix + key, digest_size=16).digest()
        start["state"]["key"] = np.frombuffer(digest, "<u8")
        bits.state = start
        generator.standard_normal(out=row, dtype=np.float32)
    return torch.from_numpy(drawn)
