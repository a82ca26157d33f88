"""Sections: the typed runs of bytes that a form is made of."""

import math
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from franken.errors import ArtifactError


class Section(NamedTuple):
    """One stored array."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def bytes_count(self) -> int:
        """Length in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


class Form(Protocol):
    """A change of one tensor, compressed or not."""

    kind: ClassVar[str]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the change."""
        ...

    def decode(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Rows ``start`` to ``stop`` (first dimension) of the change, float32 or wider."""
        ...

    def describe(self) -> dict[str, Any]:
        """Plain JSON from which ``layout`` follows."""
        ...

    def sections(self) -> dict[str, Tensor]:
        """The stored arrays by name."""
        ...

    @staticmethod
    def layout(description: dict[str, Any]) -> list[Section]:
        """Sections in the order in which they lie in the file."""
        ...

    @classmethod
    def restore(cls, description: dict[str, Any], sections: dict[str, Tensor]) -> "Form":
        """The inverse of ``describe`` and ``sections``."""
        ...


FORMS: dict[str, Any] = {}
"""Kind -> class of every form; each declares itself with :func:`form`."""


def form(cls: Any) -> Any:
    """Class decorator: the form is found by its ``kind`` from now on."""
    FORMS[cls.kind] = cls
    return cls


def form_of(description: dict[str, Any]) -> Any:
    """The class of a described form.

    Raises:
        ArtifactError: for an unknown kind; lists the known ones.
    """
    name = description.get("form")
    if name not in FORMS:
        raise ArtifactError(f"unknown form of a delta {name!r}; known: {', '.join(FORMS)}")
    return FORMS[name]


def bytes_of_layout(layout: list[Section]) -> int:
    """Length of all sections together."""
    return sum(section.bytes_count for section in layout)


def join_sections(layout: list[Section], sections: dict[str, Tensor]) -> Tensor:
    """The sections' bytes one after the other, ``(bytes,)`` uint8."""
    parts = []
    for name, dtype, shape in layout:
        tensor = sections[name]
        if tensor.dtype != dtype or tuple(tensor.shape) != shape:
            raise ValueError(
                f"section {name!r} is {tensor.dtype} {tuple(tensor.shape)}, the layout says "
                f"{dtype} {shape}"
            )
        parts.append(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8))
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.uint8)


def split_sections(layout: list[Section], payload: Tensor) -> dict[str, Tensor]:
    """The inverse of ``join_sections``."""
    needed = bytes_of_layout(layout)
    if payload.dtype != torch.uint8 or payload.numel() != needed:
        raise ArtifactError(
            f"the description needs {needed} bytes, the file holds {payload.numel()}; the pack is "
            "damaged, pack again"
        )
    found, offset = {}, 0
    for section in layout:
        stop = offset + section.bytes_count
        # a copy: a typed view of bytes must be aligned
        raw = payload[offset:stop].clone()
        found[section.name] = raw.view(section.dtype).reshape(section.shape)
        offset = stop
    return found


def row_range(rows: int, start: int, stop: int | None) -> tuple[int, int]:
    """Checked bounds of a range of rows."""
    stop = rows if stop is None else stop
    if not 0 <= start <= stop <= rows:
        raise IndexError(f"rows {start}:{stop} of a delta with {rows} rows")
    return start, stop
