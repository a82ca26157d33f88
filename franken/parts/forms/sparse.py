"""Changes of which only some entries are kept: their places, and their values in few bits."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from franken.parts.forms.places import Placed, places_layout, read_places
from franken.parts.forms.quantised import (
    Factor,
    Quantised,
    encode_factor,
    factor_exponent,
    factor_layout,
    restore_factor,
)
from franken.parts.forms.section import Section, form


@form
@dataclass
class SparseForm(Placed):
    """Kept entries, rounded in groups."""

    values: Factor
    """``(1, nnz)``."""
    bits: int
    group_size: int = 128
    kind: ClassVar[str] = "sparse"

    @classmethod
    def encode(
        cls, shape: tuple[int, ...], places: Tensor, values: Tensor, *, bits: int = 16,
        index: str = "auto", group_size: int = 128,
    ) -> "SparseForm":  # fmt: skip
        """Keep ``values`` ``(nnz,)`` at ``places``; ``auto`` takes the index with fewest bytes."""
        factor = encode_factor(values.reshape(1, -1).float(), bits, group_size)
        form = cls(tuple(shape), places, index, factor, bits, group_size)
        if index == "auto":
            form.index = form.shortest()
        return form

    def _decoded(self, low: int, high: int) -> Tensor:
        """Values ``[low, high)``, of which only their groups are decoded."""
        if not isinstance(self.values, Quantised):
            return self.values.decode()[0, low:high]
        size, grid = self.group_size, self.values.grid
        first, last = low // size, -(-high // size)
        part = replace(grid, scales=grid.scales[:, first:last], zeros=grid.zeros[:, first:last])
        start = first * size
        return part.decode(self.values.codes[:, start:high])[0, low - start :]

    def describe(self) -> dict[str, Any]:
        """Kind, shape, counts and how places are kept."""
        return {
            "form": self.kind, **self._described(), "bits": self.bits,
            "group_size": self.group_size, "exponent": factor_exponent(self.values),
        }  # fmt: skip

    def sections(self) -> dict[str, Tensor]:
        """Places, then values."""
        return {**self._index_sections(), **self.values.sections("v")}

    @staticmethod
    def layout(description: dict[str, Any]) -> list[Section]:
        """Places and values."""
        nnz, bits = description["nnz"], description["bits"]
        values = factor_layout("v", 1, nnz, bits, description["group_size"])
        return [*places_layout(description), *values]

    @classmethod
    def restore(cls, description: dict[str, Any], sections: dict[str, Tensor]) -> "SparseForm":
        """From places and values."""
        bits, size = description["bits"], description["group_size"]
        values = restore_factor(
            sections, "v", description["nnz"], bits, size, description["exponent"]
        )
        shape, places = tuple(description["shape"]), read_places(description, sections)
        return cls(shape, places, description["index"], values, bits, size)
