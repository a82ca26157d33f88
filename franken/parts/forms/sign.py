"""BitDelta: one sign per entry and one scale per matrix (Liu et al. 2024)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from franken.parts.forms.bits import pack_bits, packed_length, unpack_bits
from franken.parts.forms.section import Section, form, row_range


@form
@dataclass
class SignForm:
    """``scale * sign(delta)``; zero counts as plus, as in the release."""

    positive: Tensor
    """``(m, n)`` bool."""
    scale: float
    kind: ClassVar[str] = "sign"

    @classmethod
    def fit(cls, delta: Tensor) -> "SignForm":
        """``scale = mean |delta|``, the best in the Frobenius norm."""
        mean = float(delta.double().abs().mean()) if delta.numel() else 0.0
        return cls(delta >= 0, float(torch.tensor(mean, dtype=torch.float32)))

    @classmethod
    def fit_blocks(
        cls, blocks: Callable[[], Iterator[Tensor]], shape: tuple[int, ...]
    ) -> "SignForm":
        """As :meth:`fit`, of a change that comes in blocks of rows."""
        positive, total, at = torch.empty(shape, dtype=torch.bool), 0.0, 0
        for block in blocks():
            positive[at : at + len(block)] = block >= 0
            total += float(block.double().abs().sum())
            at += len(block)
        mean = total / max(1, math.prod(shape))
        return cls(positive, float(torch.tensor(mean, dtype=torch.float32)))

    @property
    def shape(self) -> tuple[int, ...]:
        """``(m, n)``."""
        return tuple(self.positive.shape)

    def decode(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Plus or minus the scale."""
        start, stop = row_range(self.shape[0], start, stop)
        return torch.where(self.positive[start:stop], self.scale, -self.scale)

    def describe(self) -> dict[str, Any]:
        """Kind, shape and scale."""
        return {"form": self.kind, "shape": list(self.shape), "scale": self.scale}

    def sections(self) -> dict[str, Tensor]:
        """One bit per entry."""
        rows = self.positive.reshape(self.shape[0], -1).to(torch.uint8)
        return {"signs": pack_bits(rows, 1)}

    @staticmethod
    def layout(description: dict[str, Any]) -> list[Section]:
        """Rows of bits."""
        rows, columns = _matrix(description["shape"])
        return [Section("signs", torch.uint8, (rows, packed_length(columns, 1)))]

    @classmethod
    def restore(cls, description: dict[str, Any], sections: dict[str, Tensor]) -> "SignForm":
        """From the bits."""
        _, columns = _matrix(description["shape"])
        bits = unpack_bits(sections["signs"], 1, columns)
        return cls(bits.bool().reshape(description["shape"]), float(description["scale"]))


def _matrix(shape: list[int]) -> tuple[int, int]:
    columns = 1
    for extent in shape[1:]:
        columns *= extent
    return shape[0], columns
