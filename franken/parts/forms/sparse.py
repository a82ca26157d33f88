"""Changes of which only some entries are kept: places in the cheapest of three ways, values."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from franken.parts.forms.bits import packed_length
from franken.parts.forms.quantised import (
    Factor,
    Quantised,
    encode_factor,
    factor_exponent,
    factor_layout,
    restore_factor,
)
from franken.parts.forms.section import Section, form, row_range

INDEXES = ("bitmap", "csr", "rows")


@form
@dataclass
class SparseForm:
    """Kept entries in the order of the flattened matrix."""

    shape: tuple[int, ...]
    places: Tensor
    """``(nnz,)`` int64, ascending flat positions."""
    values: Factor
    """``(1, nnz)``."""
    bits: int
    index: str
    group_size: int = 128
    kind: ClassVar[str] = "sparse"

    @classmethod
    def encode(
        cls, shape: tuple[int, ...], places: Tensor, values: Tensor, *, bits: int = 16,
        index: str = "auto", group_size: int = 128,
    ) -> "SparseForm":  # fmt: skip
        """Keep ``values`` ``(nnz,)`` at ``places``; ``auto`` takes the index with fewest bytes."""
        factor = encode_factor(values.reshape(1, -1).float(), bits, group_size)
        form = cls(tuple(shape), places, factor, bits, "bitmap", group_size)
        if index == "auto":
            index = min(INDEXES, key=form._index_bytes)
        form.index = index
        return form

    @property
    def nnz(self) -> int:
        """Entries kept."""
        return len(self.places)

    @property
    def width(self) -> int:
        """Entries per row."""
        return int(np.prod(self.shape[1:])) if len(self.shape) > 1 else 1

    def decode(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Float32, zero where nothing was kept."""
        start, stop = row_range(self.shape[0], start, stop)
        dense = torch.zeros((stop - start) * self.width)
        low, high = torch.searchsorted(
            self.places, torch.tensor([start * self.width, stop * self.width])
        ).tolist()
        dense[self.places[low:high] - start * self.width] = self._decoded(low, high)
        found: Tensor = dense.reshape(stop - start, *self.shape[1:])
        return found

    def _decoded(self, low: int, high: int) -> Tensor:
        """Values ``[low, high)``, of which only their groups are decoded."""
        if not isinstance(self.values, Quantised):
            return self.values.decode()[0, low:high]
        size, grid = self.group_size, self.values.grid
        first, last = low // size, -(-high // size)
        part = replace(grid, scales=grid.scales[:, first:last], zeros=grid.zeros[:, first:last])
        start = first * size
        return part.decode(self.values.codes[:, start:high])[0, low - start :]

    def touched(self) -> Tensor:
        """Rows with a kept entry, ascending."""
        rows: Tensor = torch.unique_consecutive(self.places // self.width)
        return rows

    def describe(self) -> dict[str, Any]:
        """Kind, shape, counts and how places are kept."""
        found: dict[str, Any] = {
            "form": self.kind, "shape": list(self.shape), "nnz": self.nnz, "bits": self.bits,
            "index": self.index, "group_size": self.group_size,
            "exponent": factor_exponent(self.values),
        }  # fmt: skip
        if self.index == "rows":
            found["rows"] = len(self.touched())
        return found

    def sections(self) -> dict[str, Tensor]:
        """Places, then values."""
        return {**self._index_sections(), **self.values.sections("v")}

    def _index_bytes(self, index: str) -> int:
        rows = len(self.touched()) if index == "rows" else 0
        return sum(section.bytes_count for section in _index_layout(
            self.shape[0], self.width, self.nnz, index, rows
        ))  # fmt: skip

    def _index_sections(self) -> dict[str, Tensor]:
        places = self.places.numpy()
        if self.index == "csr":
            counts = np.bincount(places // self.width, minlength=self.shape[0])
            starts = np.zeros(self.shape[0] + 1, dtype=np.int32)
            np.cumsum(counts, out=starts[1:])
            columns = places % self.width
            narrow = (
                columns.astype(np.uint16).view(np.int16)
                if self.width <= 1 << 16
                else columns.astype(np.int32)
            )
            return {"starts": torch.from_numpy(starts), "columns": torch.from_numpy(narrow)}
        mask = np.zeros(self.shape[0] * self.width, dtype=bool)
        mask[places] = True
        if self.index == "rows":
            rows = self.touched()
            mask = mask.reshape(self.shape[0], self.width)[rows.numpy()].reshape(-1)
            bitmap = torch.from_numpy(np.packbits(mask, bitorder="little"))
            return {"rows": rows.to(torch.int32), "bitmap": bitmap}
        return {"bitmap": torch.from_numpy(np.packbits(mask, bitorder="little"))}

    @staticmethod
    def layout(description: dict[str, Any]) -> list[Section]:
        """Places and values."""
        shape = description["shape"]
        width = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        nnz, bits = description["nnz"], description["bits"]
        places = _index_layout(
            shape[0], width, nnz, description["index"], description.get("rows", 0)
        )
        return [*places, *factor_layout("v", 1, nnz, bits, description["group_size"])]

    @classmethod
    def restore(cls, description: dict[str, Any], sections: dict[str, Tensor]) -> "SparseForm":
        """From places and values."""
        shape = tuple(description["shape"])
        width = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        index, bits, size = (description[k] for k in ("index", "bits", "group_size"))
        places = _read_places(sections, index, shape[0], width)
        values = restore_factor(
            sections, "v", description["nnz"], bits, size, description["exponent"]
        )
        return cls(shape, places, values, bits, index, size)


def _index_layout(rows: int, width: int, nnz: int, index: str, touched: int) -> list[Section]:
    if index == "csr":
        narrow = torch.int16 if width <= 1 << 16 else torch.int32
        return [
            Section("starts", torch.int32, (rows + 1,)),
            Section("columns", narrow, (nnz,)),
        ]
    if index == "rows":
        return [
            Section("rows", torch.int32, (touched,)),
            Section("bitmap", torch.uint8, (packed_length(touched * width, 1),)),
        ]
    return [Section("bitmap", torch.uint8, (packed_length(rows * width, 1),))]


def _read_places(sections: dict[str, Tensor], index: str, rows: int, width: int) -> Tensor:
    if index == "csr":
        starts, raw = sections["starts"].numpy(), sections["columns"].numpy()
        columns = raw.view(np.uint16) if raw.dtype == np.int16 else raw
        owners = np.repeat(np.arange(rows, dtype=np.int64), np.diff(starts))
        return torch.from_numpy(owners * width + columns.astype(np.int64))
    chosen = sections["rows"].numpy().astype(np.int64) if index == "rows" else None
    count = (rows if chosen is None else len(chosen)) * width
    mask = np.unpackbits(sections["bitmap"].numpy(), bitorder="little", count=count)
    found = np.flatnonzero(mask).astype(np.int64)
    if chosen is not None and width:
        found = chosen[found // width] * width + found % width
    return torch.from_numpy(found)
