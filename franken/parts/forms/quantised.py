"""Matrices in groups of few-bit integers: asymmetric, per row, groups along the columns.

Per group ``lo = min(x, 0)``, ``hi = max(x, 0)``, ``s = (hi - lo) / (2^b - 1)``,
``z = round(-lo / s)``, ``q = clip(round(x / s) + z)``, decoded ``s (q - z)``.
The scale is rounded up to float16 first and the codes are made with the rounded one, so the error
stays below ``s / 2`` and zero is exact. A power of two per matrix keeps the float16 scales in range
whatever the magnitude; the release stores float32 values and needs none.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from franken.parts.forms.bits import pack_bits, packed_length, unpack_bits
from franken.parts.forms.section import Section


@dataclass
class Grid:
    """Scales and zero points of a matrix ``(R, C)``; both ``(R, G)`` float32."""

    scales: Tensor
    zeros: Tensor
    bits: int
    group: int
    exponent: int

    def codes(self, values: Tensor) -> Tensor:
        """``(R, C)`` values to uint8 codes."""
        scale, zero = self._spread(values.shape[1])
        top = 2**self.bits - 1
        return (torch.round(values / scale) + zero).clamp_(0, top).to(torch.uint8)

    def column_codes(self, values: Tensor, column: int) -> Tensor:
        """Codes of one column ``(R,)``, for methods that go column by column."""
        at = column // self.group
        scale, zero = self.scales[:, at], self.zeros[:, at]
        return (torch.round(values / scale) + zero).clamp_(0, 2**self.bits - 1).to(torch.uint8)

    def column_values(self, codes: Tensor, column: int) -> Tensor:
        """The inverse of ``column_codes``."""
        at = column // self.group
        return self.scales[:, at] * (codes.to(self.scales.dtype) - self.zeros[:, at])

    def decode(self, codes: Tensor) -> Tensor:
        """``(R, C)`` codes to float32 values."""
        scale, zero = self._spread(codes.shape[1])
        return (codes.float() - zero).mul_(scale)

    def _spread(self, columns: int) -> tuple[Tensor, Tensor]:
        repeat = torch.arange(columns) // self.group
        return self.scales[:, repeat], self.zeros[:, repeat]


def fit_grid(values: Tensor, bits: int, group: int) -> Grid:
    """Scales and zero points of every group of a ``(R, C)`` matrix."""
    rows, columns = values.shape
    groups = -(-columns // group)
    padded = torch.zeros(rows, groups * group)
    padded[:, :columns] = values
    blocks = padded.view(rows, groups, group)  # zeros of the padding lie in every range anyway
    low, high = blocks.amin(dim=2).clamp_(max=0), blocks.amax(dim=2).clamp_(min=0)
    empty = (low == 0) & (high == 0)
    low[empty], high[empty] = -1.0, 1.0
    top = 2**bits - 1
    exact = (high - low) / top
    largest = float(values.abs().max()) if values.numel() else 0.0
    exponent = math.floor(math.log2(largest)) if largest > 0 and math.isfinite(largest) else 0
    step = math.ldexp(1.0, exponent)
    exact = torch.where(empty, exact * step, exact)
    scales = _round_up_half(exact / step).float() * step
    zeros = torch.round(-torch.where(empty, low * step, low) / scales).clamp_(0, top)
    return Grid(scales, zeros, bits, group, exponent)


def _round_up_half(values: Tensor) -> Tensor:
    """The smallest float16 that is not below; at least its smallest normal number."""
    half = values.clamp(min=2.0**-14).to(torch.float16)
    below = half.float() < values
    bumped = (half.view(torch.int16) + below.to(torch.int16)).view(torch.float16)
    return bumped


@dataclass
class Quantised:
    """A matrix ``(R, C)`` as packed codes with its grid."""

    codes: Tensor
    """``(R, C)`` uint8, unpacked."""
    grid: Grid

    @classmethod
    def round(cls, values: Tensor, bits: int, group: int) -> "Quantised":
        """Round to nearest."""
        grid = fit_grid(values, bits, group)
        return cls(grid.codes(values), grid)

    def decode(self) -> Tensor:
        """``(R, C)`` float32."""
        return self.grid.decode(self.codes)

    def sections(self, prefix: str) -> dict[str, Tensor]:
        """Packed codes, float16 scales and packed zero points, under ``prefix``."""
        step = math.ldexp(1.0, self.grid.exponent)
        return {
            f"{prefix}q": pack_bits(self.codes, self.grid.bits),
            f"{prefix}s": (self.grid.scales / step).to(torch.float16),
            f"{prefix}z": pack_bits(self.grid.zeros.to(torch.uint8), self.grid.bits),
        }

    @staticmethod
    def layout(prefix: str, rows: int, columns: int, bits: int, group: int) -> list[Section]:
        """Where the three arrays lie; ``ceil(C b / 8) + 2 G + ceil(G b / 8)`` bytes per row."""
        groups = -(-columns // group)
        return [
            Section(f"{prefix}q", torch.uint8, (rows, packed_length(columns, bits))),
            Section(f"{prefix}s", torch.float16, (rows, groups)),
            Section(f"{prefix}z", torch.uint8, (rows, packed_length(groups, bits))),
        ]

    @classmethod
    def restore(
        cls, found: dict[str, Tensor], prefix: str, columns: int, *, bits: int, group: int,
        exponent: int,
    ) -> "Quantised":  # fmt: skip
        """The inverse of ``sections``."""
        scales = found[f"{prefix}s"].float() * math.ldexp(1.0, exponent)
        zeros = unpack_bits(found[f"{prefix}z"], bits, scales.shape[1]).float()
        codes = unpack_bits(found[f"{prefix}q"], bits, columns)
        return cls(codes, Grid(scales, zeros, bits, group, exponent))


def floats_layout(prefix: str, shape: tuple[int, ...], bits: int) -> list[Section]:
    """Layout of values kept in 16 or 32 bits."""
    return [Section(f"{prefix}q", torch.float16 if bits == 16 else torch.float32, shape)]


class Floats:
    """A matrix kept in float16 (with a power of two taken out) or float32."""

    def __init__(self, values: Tensor, bits: int, exponent: int) -> None:
        self.values, self.bits, self.exponent = values, bits, exponent

    @classmethod
    def round(cls, values: Tensor, bits: int) -> "Floats":
        """Round to the format."""
        largest = float(values.abs().max()) if values.numel() else 0.0
        exponent = math.floor(math.log2(largest)) if bits == 16 and largest > 0 else 0
        if bits == 16:
            step = math.ldexp(1.0, exponent)
            values = (values / step).to(torch.float16).float() * step
        return cls(values, bits, exponent)

    def decode(self) -> Tensor:
        """Float32."""
        return self.values

    def sections(self, prefix: str) -> dict[str, Tensor]:
        """The one array."""
        if self.bits == 32:
            return {f"{prefix}q": self.values.float()}
        return {f"{prefix}q": (self.values / math.ldexp(1.0, self.exponent)).to(torch.float16)}

    @classmethod
    def restore(
        cls, found: dict[str, Tensor], prefix: str, *, bits: int, exponent: int
    ) -> "Floats":
        """The inverse of ``sections``."""
        return cls(found[f"{prefix}q"].float() * math.ldexp(1.0, exponent), bits, exponent)


Factor = Quantised | Floats
"""One factor of a column group."""


def encode_factor(values: Tensor, bits: int, group: int) -> Factor:
    """Round a ``(R, C)`` matrix to ``bits``: groups of integers up to 8, floats of 16 or 32."""
    if bits in (16, 32):
        return Floats.round(values, bits)
    return Quantised.round(values, bits, group)


def factor_layout(prefix: str, rows: int, columns: int, bits: int, group: int) -> list[Section]:
    """Layout of ``encode_factor``'s result."""
    if bits in (16, 32):
        return floats_layout(prefix, (rows, columns), bits)
    return Quantised.layout(prefix, rows, columns, bits, group)


def factor_exponent(factor: Factor) -> int:
    """The power of two that was taken out."""
    return factor.exponent if isinstance(factor, Floats) else factor.grid.exponent


def restore_factor(
    found: dict[str, Tensor], prefix: str, columns: int, bits: int, group: int, exponent: int
) -> Factor:
    """The inverse of a factor's ``sections``."""
    if bits in (16, 32):
        return Floats.restore(found, prefix, bits=bits, exponent=exponent)
    return Quantised.restore(found, prefix, columns, bits=bits, group=group, exponent=exponent)


JSON = dict[str, Any]
