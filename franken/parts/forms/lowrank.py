"""Low-rank changes ``U diag(s) V^T`` whose columns come in groups of falling precision."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from franken.parts.forms.quantised import (
    Factor,
    encode_factor,
    factor_exponent,
    factor_layout,
    restore_factor,
)
from franken.parts.forms.section import Section, form, row_range


@dataclass
class ColumnGroup:
    """Consecutive singular directions of one precision."""

    left: Factor
    """``(c, m)``: rows are columns of U, grouped along the output."""
    right: Factor
    """``(c, n)``: rows of V^T."""
    bits: int
    columns: int


@form
@dataclass
class LowRankForm:
    """``sum_i s_i u_i v_i^T``."""

    shape: tuple[int, ...]
    sigma: Tensor
    """``(r,)`` float32 values that float16 times a power of two can hold."""
    groups: list[ColumnGroup] = field(default_factory=list)
    group_size: int = 128
    kind: ClassVar[str] = "lowrank"

    @classmethod
    def encode(
        cls, left: Tensor, sigma: Tensor, right: Tensor, schedule: Sequence[tuple[int, int]], *,
        group_size: int = 128,
    ) -> "LowRankForm":  # fmt: skip
        """Round to nearest, group by group.

        Args:
            left: ``(m, r)`` U.
            sigma: ``(r,)``, falling.
            right: ``(r, n)`` V^T.
            schedule: (bits, columns) from the largest singular value on; columns sum to r.
            group_size: entries that share a scale.
        """
        groups, at = [], 0
        for bits, columns in schedule:
            stop = at + columns
            part = left[:, at:stop].T.contiguous()
            groups.append(
                ColumnGroup(
                    encode_factor(part, bits, group_size),
                    encode_factor(right[at:stop].contiguous(), bits, group_size),
                    bits,
                    columns,
                )
            )
            at = stop
        if at != len(sigma):
            raise ValueError(f"the schedule covers {at} directions, there are {len(sigma)}")
        shape = (left.shape[0], right.shape[1])
        wide = any(bits == 32 for bits, _ in schedule)
        return cls(shape, sigma.float() if wide else half_sigma(sigma), groups, group_size)

    def transposed(self) -> "LowRankForm":
        """The form of the transposed change: U and V change places."""
        groups = [ColumnGroup(g.right, g.left, g.bits, g.columns) for g in self.groups]
        return LowRankForm(self.shape[::-1], self.sigma, groups, self.group_size)

    @property
    def rank(self) -> int:
        """r: stored directions."""
        return len(self.sigma)

    @property
    def wide_sigma(self) -> bool:
        """Whether sigma is kept in float32: with factors in 32 bits."""
        return any(group.bits == 32 for group in self.groups)

    def left(self) -> Tensor:
        """``(m, r)`` decoded U."""
        if not self.groups:
            return torch.zeros(self.shape[0], 0)
        return torch.cat([group.left.decode() for group in self.groups]).T

    def right(self) -> Tensor:
        """``(r, n)`` decoded V^T."""
        if not self.groups:
            return torch.zeros(0, self.shape[1])
        return torch.cat([group.right.decode() for group in self.groups])

    def decode(self, start: int = 0, stop: int | None = None) -> Tensor:
        """``(U * s) V^T`` in float32."""
        start, stop = row_range(self.shape[0], start, stop)
        return (self.left()[start:stop] * self.sigma) @ self.right()

    def describe(self) -> dict[str, Any]:
        """Kind, shape, groups as [bits, columns, exponent of U, exponent of V]."""
        return {
            "form": self.kind,
            "shape": list(self.shape),
            "groups": [
                [g.bits, g.columns, factor_exponent(g.left), factor_exponent(g.right)]
                for g in self.groups
            ],
            "group_size": self.group_size,
            "sigma_exponent": 0 if self.wide_sigma else _sigma_exponent(self.sigma),
        }

    def sections(self) -> dict[str, Tensor]:
        """Sigma, then both factors of every group."""
        step = math.ldexp(1.0, 0 if self.wide_sigma else _sigma_exponent(self.sigma))
        dtype = torch.float32 if self.wide_sigma else torch.float16
        found = {"sigma": (self.sigma / step).to(dtype)}
        for index, group in enumerate(self.groups):
            found |= group.right.sections(f"{index}V")
            found |= group.left.sections(f"{index}U")
        return found

    @staticmethod
    def layout(description: dict[str, Any]) -> list[Section]:
        """Sections of sigma and of each group."""
        rows, columns = description["shape"]
        groups, size = description["groups"], description["group_size"]
        rank = sum(group[1] for group in groups)
        wide = any(group[0] == 32 for group in groups)
        found = [Section("sigma", torch.float32 if wide else torch.float16, (rank,))]
        for index, (bits, count, *_) in enumerate(groups):
            found += factor_layout(f"{index}V", count, columns, bits, size)
            found += factor_layout(f"{index}U", count, rows, bits, size)
        return found

    @classmethod
    def restore(cls, description: dict[str, Any], sections: dict[str, Tensor]) -> "LowRankForm":
        """From the sections."""
        rows, columns = description["shape"]
        size = description["group_size"]
        groups = [
            ColumnGroup(
                restore_factor(sections, f"{index}U", rows, bits, size, left),
                restore_factor(sections, f"{index}V", columns, bits, size, right),
                bits,
                count,
            )
            for index, (bits, count, left, right) in enumerate(description["groups"])
        ]
        sigma = sections["sigma"].float() * math.ldexp(1.0, description["sigma_exponent"])
        return cls((rows, columns), sigma, groups, size)


def half_sigma(sigma: Tensor) -> Tensor:
    """Singular values as float16 times a power of two holds them."""
    step = math.ldexp(1.0, _sigma_exponent(sigma))
    return (sigma.float() / step).to(torch.float16).float() * step


def _sigma_exponent(sigma: Tensor) -> int:
    largest = float(sigma.abs().max()) if sigma.numel() else 0.0
    return math.floor(math.log2(largest)) if largest > 0 else 0
