"""Changes whose kept entries have one of a few values, zero not among them unless it is listed."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from franken.parts.forms.bits import pack_bits, packed_length, unpack_bits
from franken.parts.forms.places import Placed, places_layout, read_places
from franken.parts.forms.section import Section, form


@form
@dataclass
class LevelsForm(Placed):
    """Kept entries, each the number of a level."""

    codes: Tensor
    """``(nnz,)`` uint8."""
    levels: Tensor
    """``(2 ** bits,)`` float32: what a code stands for."""
    kind: ClassVar[str] = "levels"

    @classmethod
    def encode(
        cls, shape: tuple[int, ...], places: Tensor, codes: Tensor, levels: Tensor,
        *, index: str = "auto",
    ) -> "LevelsForm":  # fmt: skip
        """Keep the levels of ``codes`` ``(nnz,)`` at ``places``.

        ``levels`` has 2, 4, ... or 256 values; ``auto`` takes the index with fewest bytes.
        """
        form = cls(tuple(shape), places, index, codes, levels.float())
        if index == "auto":
            form.index = form.shortest()
        return form

    @property
    def bits(self) -> int:
        """Width of a code."""
        return (len(self.levels) - 1).bit_length()

    def _decoded(self, low: int, high: int) -> Tensor:
        found: Tensor = self.levels[self.codes[low:high].long()]
        return found

    def describe(self) -> dict[str, Any]:
        """Kind, shape, counts and how places are kept."""
        return {"form": self.kind, **self._described(), "bits": self.bits}

    def sections(self) -> dict[str, Tensor]:
        """Places, codes, levels."""
        codes = pack_bits(self.codes.reshape(1, -1), self.bits)
        return {**self._index_sections(), "codes": codes, "levels": self.levels}

    @staticmethod
    def layout(description: dict[str, Any]) -> list[Section]:
        """Places, codes, levels."""
        bits = description["bits"]
        return [
            *places_layout(description),
            Section("codes", torch.uint8, (1, packed_length(description["nnz"], bits))),
            Section("levels", torch.float32, (2**bits,)),
        ]

    @classmethod
    def restore(cls, description: dict[str, Any], sections: dict[str, Tensor]) -> "LevelsForm":
        """From places, codes and levels."""
        codes = unpack_bits(sections["codes"], description["bits"], description["nnz"])[0]
        shape, places = tuple(description["shape"]), read_places(description, sections)
        return cls(shape, places, description["index"], codes, sections["levels"])
