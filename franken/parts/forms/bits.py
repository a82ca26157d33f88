"""Integers of 1 to 8 bits as little-endian bit streams, one per row, each padded to a byte."""

import numpy as np
import torch
from torch import Tensor

_CHUNK_VALUES = 1 << 22


def packed_length(length: int, bits: int) -> int:
    """Bytes of one packed row: ``ceil(length * bits / 8)``."""
    return -(-length * bits // 8)


def pack_bits(codes: Tensor, bits: int) -> Tensor:
    """Pack ``(R, L)`` uint8 codes below ``2 ** bits`` into ``(R, ceil(L * bits / 8))`` bytes.

    Value ``i`` of a row takes the bits ``i * bits`` to ``(i + 1) * bits``, the least significant
    first, so 3-bit codes cost 3 bits.
    """
    _check(codes, bits)
    rows, length = codes.shape
    packed = np.zeros((rows, packed_length(length, bits)), dtype=np.uint8)
    values = codes.numpy()
    for start, stop in _row_chunks(rows, length):
        part = values[start:stop]
        if bits == 8:
            packed[start:stop] = part
        elif 8 % bits == 0:
            per_byte = 8 // bits
            wide = np.zeros((stop - start, packed.shape[1] * per_byte), dtype=np.uint8)
            wide[:, :length] = part
            for place in range(per_byte):
                packed[start:stop] |= wide[:, place::per_byte] << (place * bits)
        else:
            stream = np.unpackbits(part[..., None], axis=-1, bitorder="little", count=bits)
            flat = stream.reshape(stop - start, -1)
            packed[start:stop] = np.packbits(flat, axis=-1, bitorder="little")
    return torch.from_numpy(packed)


def unpack_bits(packed: Tensor, bits: int, length: int) -> Tensor:
    """The inverse of ``pack_bits``: ``(R, length)`` uint8 codes."""
    rows = packed.shape[0]
    if not 1 <= bits <= 8 or packed.shape[1] != packed_length(length, bits):
        raise ValueError(
            f"{length} values of {bits} bits take {packed_length(length, bits)} bytes per row, "
            f"got {packed.shape[1]}"
        )
    codes = np.empty((rows, length), dtype=np.uint8)
    values = packed.numpy()
    for start, stop in _row_chunks(rows, length):
        part = values[start:stop]
        if bits == 8:
            codes[start:stop] = part
        elif 8 % bits == 0:
            per_byte, mask = 8 // bits, (1 << bits) - 1
            for place in range(per_byte):
                target = codes[start:stop, place::per_byte]
                target[:] = (part[:, : target.shape[1]] >> (place * bits)) & mask
        else:
            count = length * bits
            stream = np.unpackbits(part, axis=-1, bitorder="little", count=count)
            stream = stream.reshape(stop - start, length, bits)
            codes[start:stop] = np.packbits(stream, axis=-1, bitorder="little")[..., 0]
    return torch.from_numpy(codes)


def _row_chunks(rows: int, length: int) -> list[tuple[int, int]]:
    step = max(1, _CHUNK_VALUES // max(length, 1))
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]


def _check(codes: Tensor, bits: int) -> None:
    if not 1 <= bits <= 8 or codes.ndim != 2 or codes.dtype != torch.uint8:
        raise ValueError(
            f"expected (R, L) uint8 codes and 1 to 8 bits, got {tuple(codes.shape)} {codes.dtype} "
            f"and {bits}"
        )
    if codes.numel() and int(codes.max()) >> bits:
        raise ValueError(f"a code of {int(codes.max())} does not fit into {bits} bits")
