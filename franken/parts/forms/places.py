"""Where kept entries lie: places of a matrix, written in one of four ways.

``bitmap``, ``csr`` and ``rows`` are read at sight. ``elias_fano`` (Elias 1974, Fano 1971) keeps the
``k`` low bits of each place as they are and the rest as a run of ones and zeros; its length follows
from the number of places alone, within half a bit per place of the least that any code needs for
random ones.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from franken.parts.forms.bits import pack_bits, packed_length, unpack_bits
from franken.parts.forms.section import Section, bytes_of_layout, row_range

INDEXES = ("bitmap", "csr", "rows")
"""Those among which ``auto`` chooses."""


@dataclass
class Placed:
    """Kept entries in the order of the flattened matrix; how values are kept is up to the form."""

    shape: tuple[int, ...]
    places: Tensor
    """``(nnz,)`` int64, ascending flat positions."""
    index: str

    @property
    def nnz(self) -> int:
        """Entries kept."""
        return len(self.places)

    @property
    def width(self) -> int:
        """Entries per row."""
        return width_of(self.shape)

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

    def touched(self) -> Tensor:
        """Rows with a kept entry, ascending."""
        rows: Tensor = torch.unique_consecutive(self.places // self.width)
        return rows

    def shortest(self) -> str:
        """The index of ``INDEXES`` that takes the fewest bytes."""
        return min(INDEXES, key=self._index_bytes)

    def _decoded(self, low: int, high: int) -> Tensor:
        """Values ``[low, high)``, float32."""
        raise NotImplementedError

    def _described(self) -> dict[str, Any]:
        found: dict[str, Any] = {"shape": list(self.shape), "nnz": self.nnz, "index": self.index}
        if self.index == "rows":
            found["rows"] = len(self.touched())
        return found

    def _index_bytes(self, index: str) -> int:
        rows = len(self.touched()) if index == "rows" else 0
        described = {"shape": self.shape, "nnz": self.nnz, "index": index, "rows": rows}
        return bytes_of_layout(places_layout(described))

    def _index_sections(self) -> dict[str, Tensor]:
        places = self.places.numpy()
        if self.index == "csr":
            return _compressed_rows(places, self.shape[0], self.width)
        if self.index == "elias_fano":
            return _elias_fano(places, self.shape[0] * self.width)
        mask = np.zeros(self.shape[0] * self.width, dtype=bool)
        mask[places] = True
        if self.index == "rows":
            rows = self.touched()
            mask = mask.reshape(self.shape[0], self.width)[rows.numpy()].reshape(-1)
            return {"rows": rows.to(torch.int32), "bitmap": _bitmap(mask)}
        return {"bitmap": _bitmap(mask)}


def width_of(shape: tuple[int, ...] | list[int]) -> int:
    """Entries per row of a matrix of this shape."""
    return int(np.prod(shape[1:])) if len(shape) > 1 else 1


def places_layout(description: dict[str, Any]) -> list[Section]:
    """Sections of the places, from ``shape``, ``nnz``, ``index`` and ``rows``."""
    rows, width = description["shape"][0], width_of(description["shape"])
    nnz, index = description["nnz"], description["index"]
    if index == "csr":
        narrow = torch.int16 if width <= 1 << 16 else torch.int32
        return [Section("starts", torch.int32, (rows + 1,)), Section("columns", narrow, (nnz,))]
    if index == "rows":
        touched = description.get("rows", 0)
        return [
            Section("rows", torch.int32, (touched,)),
            Section("bitmap", torch.uint8, (packed_length(touched * width, 1),)),
        ]
    if index == "elias_fano":
        low = low_bits(rows * width, nnz)
        ones = packed_length(nnz + ((rows * width) >> low) + 1, 1)
        lows = [
            Section(f"low{at}", torch.uint8, (1, packed_length(nnz, bits)))
            for at, bits in enumerate(_bytewise(low))
        ]
        return [*lows, Section("high", torch.uint8, (ones,))]
    return [Section("bitmap", torch.uint8, (packed_length(rows * width, 1),))]


def read_places(description: dict[str, Any], sections: dict[str, Tensor]) -> Tensor:
    """``(nnz,)`` int64, ascending: the inverse of what a form writes."""
    rows, width = description["shape"][0], width_of(description["shape"])
    index = description["index"]
    if index == "csr":
        starts, raw = sections["starts"].numpy(), sections["columns"].numpy()
        columns = raw.view(np.uint16) if raw.dtype == np.int16 else raw
        owners = np.repeat(np.arange(rows, dtype=np.int64), np.diff(starts))
        return torch.from_numpy(owners * width + columns.astype(np.int64))
    if index == "elias_fano":
        return _from_elias_fano(sections, rows * width, description["nnz"])
    chosen = sections["rows"].numpy().astype(np.int64) if index == "rows" else None
    count = (rows if chosen is None else len(chosen)) * width
    found = _set_bits(sections["bitmap"], count)
    if chosen is not None and width:
        found = chosen[found // width] * width + found % width
    return torch.from_numpy(found)


def low_bits(size: int, nnz: int) -> int:
    """Low bits of a place that Elias-Fano keeps as they are: the cheapest for ``nnz`` of ``size``.

    ``k`` bits and one for the end of a run each, and ``size / 2^k`` zeros between the runs.
    """
    most = max(size, 1).bit_length()
    return min(range(min(most, 32) + 1), key=lambda k: nnz * (k + 1) + (size >> k))


def _elias_fano(places: np.ndarray, size: int) -> dict[str, Tensor]:
    low = low_bits(size, len(places))
    found, rest = {}, places
    for at, bits in enumerate(_bytewise(low)):
        codes = torch.from_numpy((rest & ((1 << bits) - 1)).astype(np.uint8))
        found[f"low{at}"] = pack_bits(codes.reshape(1, -1), bits)
        rest = rest >> bits
    ones = np.zeros(len(places) + (size >> low) + 1, dtype=bool)
    ones[rest + np.arange(len(places))] = True
    return {**found, "high": _bitmap(ones)}


def _from_elias_fano(sections: dict[str, Tensor], size: int, nnz: int) -> Tensor:
    low = low_bits(size, nnz)
    places = _set_bits(sections["high"], nnz + (size >> low) + 1) - np.arange(nnz)
    places <<= low
    shift = 0
    for at, bits in enumerate(_bytewise(low)):
        codes = unpack_bits(sections[f"low{at}"], bits, nnz)[0].numpy()
        places |= codes.astype(np.int64) << shift
        shift += bits
    return torch.from_numpy(places)


def _bytewise(bits: int) -> list[int]:
    """A width in parts of at most eight bits, as bit streams take them."""
    return [min(8, bits - at) for at in range(0, bits, 8)]


def _compressed_rows(places: np.ndarray, rows: int, width: int) -> dict[str, Tensor]:
    starts = np.zeros(rows + 1, dtype=np.int32)
    np.cumsum(np.bincount(places // width, minlength=rows), out=starts[1:])
    columns = places % width
    narrow = (
        columns.astype(np.uint16).view(np.int16) if width <= 1 << 16 else columns.astype(np.int32)
    )
    return {"starts": torch.from_numpy(starts), "columns": torch.from_numpy(narrow)}


def _bitmap(mask: np.ndarray) -> Tensor:
    return torch.from_numpy(np.packbits(mask, bitorder="little"))


def _set_bits(packed: Tensor, count: int) -> np.ndarray:
    mask = np.unpackbits(packed.numpy(), bitorder="little", count=count)
    return np.flatnonzero(mask).astype(np.int64)
