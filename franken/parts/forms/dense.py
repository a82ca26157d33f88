"""Changes kept entry by entry, and changes that are none."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from franken.errors import ArtifactError
from franken.parts.forms.section import Section, form, row_range

_NAMES = {
    "float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}  # fmt: skip


@form
@dataclass
class ZeroForm:
    """Nothing changed; takes no bytes."""

    shape: tuple[int, ...]
    kind: ClassVar[str] = "zero"

    def decode(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Zeros."""
        if not self.shape:
            return torch.zeros(())
        start, stop = row_range(self.shape[0], start, stop)
        return torch.zeros(stop - start, *self.shape[1:])

    def describe(self) -> dict[str, Any]:
        """Kind and shape."""
        return {"form": self.kind, "shape": list(self.shape)}

    def sections(self) -> dict[str, Tensor]:
        """None."""
        return {}

    @staticmethod
    def layout(description: dict[str, Any]) -> list[Section]:
        """Empty."""
        return []

    @classmethod
    def restore(cls, description: dict[str, Any], sections: dict[str, Tensor]) -> "ZeroForm":
        """From its shape."""
        return cls(tuple(description["shape"]))


@form
@dataclass
class DenseForm:
    """Every entry, in a float format."""

    values: Tensor
    kind: ClassVar[str] = "dense"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the change."""
        return tuple(self.values.shape)

    def decode(self, start: int = 0, stop: int | None = None) -> Tensor:
        """The entries, at least float32."""
        values = self.values
        if values.ndim:
            start, stop = row_range(values.shape[0], start, stop)
            values = values[start:stop]
        return values.to(torch.promote_types(values.dtype, torch.float32))

    def describe(self) -> dict[str, Any]:
        """Kind, shape and number format."""
        name = str(self.values.dtype).removeprefix("torch.")
        return {"form": self.kind, "shape": list(self.shape), "dtype": name}

    def sections(self) -> dict[str, Tensor]:
        """The one array."""
        return {"values": self.values}

    @staticmethod
    def layout(description: dict[str, Any]) -> list[Section]:
        """The one array."""
        dtype = _NAMES[description["dtype"]]
        return [Section("values", dtype, tuple(description["shape"]))]

    @classmethod
    def restore(cls, description: dict[str, Any], sections: dict[str, Tensor]) -> "DenseForm":
        """From the array."""
        return cls(sections["values"])


def exact_delta(base: Tensor, tuned: Tensor) -> Tensor:
    """The change that gives ``tuned`` back bit for bit: ``cast(base + delta) == tuned``.

    Half-precision checkpoints: the float32 difference does it. Between float32 checkpoints the
    difference may round the wrong way; its neighbours are tried, and where none fits the whole
    tensor is kept in float64. Of a zero the sign is not kept: nothing added to 0.0 gives -0.0.

    Returns:
        float32, or float64 where that is needed.

    Raises:
        ArtifactError: where float64 is not enough either (from 1.0 to 1e-20).
    """
    delta = tuned.float() - base.float()
    for step in (None, torch.inf, -torch.inf):
        found = (base.float() + delta).to(tuned.dtype)
        wrong = found != tuned
        if not bool(wrong.any()):
            return delta
        if step is not None:
            start = tuned.float() - base.float()
            moved = torch.nextafter(start, torch.full_like(start, step))
            fits = (base.float() + moved).to(tuned.dtype) == tuned
            delta = torch.where(wrong & fits, moved, delta)
    if torch.equal((base.float() + delta).to(tuned.dtype), tuned):
        return delta
    wide = tuned.double() - base.double()
    wrong = (base.double() + wide).to(tuned.dtype) != tuned
    if bool(wrong.any()):
        place = wrong.nonzero()[0].tolist()
        before, after = (float(t[tuple(place)]) for t in (base, tuned))
        raise ArtifactError(
            f"no change in float64 leads from {before!r} to {after!r} at {place} "
            f"({int(wrong.sum())} such entries), so it cannot be kept exactly; keep such tensors "
            "rounded (dense with bits: 32)"
        )
    return wide
