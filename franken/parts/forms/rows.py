"""Some rows of a matrix in few bits, the others unchanged: new rows of a table."""

from dataclasses import dataclass
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


@form
@dataclass
class RowsForm:
    """Listed rows ``(k, n)``, each in groups of its own scale; every other row is zero."""

    shape: tuple[int, ...]
    rows: Tensor
    """``(k,)`` int64, ascending."""
    values: Factor
    bits: int
    group_size: int = 128
    kind: ClassVar[str] = "rows"

    @classmethod
    def encode(cls, matrix: Tensor, rows: Tensor, bits: int, group_size: int) -> "RowsForm":
        """Keep these rows of ``(m, n)``."""
        chosen = matrix[rows].float().contiguous()
        factor = encode_factor(chosen, bits, group_size)
        return cls(tuple(matrix.shape), rows, factor, bits, group_size)

    def decode(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Float32."""
        start, stop = row_range(self.shape[0], start, stop)
        whole = torch.zeros(stop - start, *self.shape[1:])
        mine = (self.rows >= start) & (self.rows < stop)
        whole[self.rows[mine] - start] = self.values.decode()[mine]
        return whole

    def describe(self) -> dict[str, Any]:
        """Kind, shape, counts."""
        return {
            "form": self.kind, "shape": list(self.shape), "rows": len(self.rows),
            "bits": self.bits, "group_size": self.group_size,
            "exponent": factor_exponent(self.values),
        }  # fmt: skip

    def sections(self) -> dict[str, Tensor]:
        """Row numbers, then values."""
        return {"rows": self.rows.to(torch.int32), **self.values.sections("v")}

    @staticmethod
    def layout(description: dict[str, Any]) -> list[Section]:
        """Row numbers, then values."""
        count, width = description["rows"], description["shape"][1]
        bits, size = description["bits"], description["group_size"]
        return [
            Section("rows", torch.int32, (count,)),
            *factor_layout("v", count, width, bits, size),
        ]

    @classmethod
    def restore(cls, description: dict[str, Any], sections: dict[str, Tensor]) -> "RowsForm":
        """From the sections."""
        shape, bits, size = (description[k] for k in ("shape", "bits", "group_size"))
        values = restore_factor(sections, "v", shape[1], bits, size, description["exponent"])
        return cls(tuple(shape), sections["rows"].long(), values, bits, size)
