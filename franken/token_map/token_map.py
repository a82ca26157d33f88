"""TokenMap: which source rows, with which weights, make each row of a new table.

``W`` is ``(T, S)`` in CSR form; the new table is ``W @ E`` for the input embeddings ``E``
``(S, D)`` and, with the same weights unless the map has ``output_weights``, for the output
embeddings. Rows without weights are drawn from their class, given by a file, or follow the fallback
rule. The map names its tokens, so it can be read and explained without any tokenizer.
"""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

import torch
from torch import Tensor

from franken.errors import CompatibilityError
from franken.token_map.options import Fallback


class Provenance(IntEnum):
    """Where a row comes from; every row has exactly one."""

    special = 0
    """Control token: the row of the source's token of the same role or string."""
    copied = 1
    """The row of the source piece that stands for the same bytes."""
    computed = 2
    """What the method is about: a weighted sum of source rows."""
    fallback = 3
    """The method had no answer (or has none for any piece): made by the fallback rule."""
    padding = 4
    """No token has this id: the mean source row."""
    given = 5
    """A row made elsewhere and read from a file; the map has no weights for it."""


class Reduce(StrEnum):
    """How the source rows of one target row are brought together."""

    sum = "sum"
    """Weighted sum."""
    max = "max"
    """Elementwise maximum over the rows with a weight; the weights say who takes part."""


@dataclass(frozen=True)
class FallbackRule:
    """What makes the rows that have no weights.

    ``mean``: the mean source row. ``normal``: N(mean, std per dimension), ``normal_scalar``: one
    std for all. ``multivariate``: N(mean, scale * covariance). ``subtoken_mean`` has put its
    weights into the map already; what it could not cover takes the mean.
    """

    kind: Fallback = Fallback.mean
    scale: float = 1.0
    """Factor on the covariance; only ``multivariate`` reads it."""
    seed: int = 0
    """All draws (noise too) come from this seed and the token's key, never from its position."""


@dataclass(frozen=True)
class MapLabels:
    """Names for people, and what the map was fitted on."""

    source: list[str] = field(default_factory=list)
    """Piece of each source row; ``▁`` is a leading space, ``""`` a row without a token."""
    target: list[str] = field(default_factory=list)
    source_sha256: str = ""
    """Identity of the source tokenizer."""
    target_sha256: str = ""


@dataclass(frozen=True)
class DrawClasses:
    """Classes of rows, for draws from the source rows of a token's own class."""

    names: list[str]
    """C names for people, e.g. ``Latin, word-initial``."""
    source: Tensor
    """``(S,)`` int32 class of each source row; -1: of none."""
    target: Tensor
    """``(T,)`` int32 class that a row without weights is drawn from; -1: the fallback rule."""

    def sizes(self) -> list[int]:
        """Number of source rows in each class."""
        known = self.source[self.source >= 0].long()
        return torch.bincount(known, minlength=len(self.names)).tolist()


@dataclass
class TokenMap:
    """A sparse matrix with a reason for every row."""

    indptr: Tensor
    """``(T + 1,)`` int64: row ``i`` has the entries ``indptr[i]:indptr[i + 1]``."""
    indices: Tensor
    """``(nnz,)`` int32 source rows, ascending and distinct within a row."""
    weights: Tensor
    """``(nnz,)`` float32."""
    provenance: Tensor
    """``(T,)`` uint8, values of :class:`Provenance`."""
    exemplars: Tensor
    """``(S,)`` bool: source rows that stand for text. Means, deviations, covariances and norms are
    taken over these; padding rows, control and reserved tokens would bias them."""
    keys: list[bytes]
    """T byte strings that name the tokens in random draws; independent of ids."""
    fallback: FallbackRule = field(default_factory=FallbackRule)
    reduce: Reduce = Reduce.sum
    noise_std: float = 0.0
    """Gaussian noise on computed and fallback rows, in units of the mean source deviation."""
    norm_match: bool = False
    """Rows with weights, copies apart, are rescaled to the mean norm of the exemplars."""
    labels: MapLabels = field(default_factory=MapLabels)
    notes: dict[str, Any] = field(default_factory=dict)
    """What the method has to say about its fit: name, options, counts. Plain JSON."""
    output_weights: Tensor | None = None
    """``(nnz,)`` float32: weights for the output embeddings where they are others than for the
    input; the same entries, 0 where a source row takes part on one side only. Tied tables have one
    matrix and use ``weights``."""
    classes: DrawClasses | None = None
    """Where there are some: computed rows without weights are N(mean, std) of their class."""

    @property
    def rows(self) -> int:
        """T: rows of the new table."""
        return self.provenance.shape[0]

    @property
    def source_rows(self) -> int:
        """S: rows that the source table must have."""
        return self.exemplars.shape[0]

    def counts(self) -> dict[str, int]:
        """Rows by provenance; the sum is T."""
        found = torch.bincount(self.provenance.long(), minlength=len(Provenance)).tolist()
        return {kind.name: found[kind] for kind in Provenance}

    def weights_of(self, part: str) -> Tensor:
        """``(nnz,)`` weights for ``input``, or for ``output`` and the head's ``bias``."""
        own = None if part == "input" else self.output_weights
        return self.weights if own is None else own

    def row(self, index: int, part: str = "input") -> list[tuple[int, float]]:
        """Source rows and weights of one target row, by falling weight."""
        start, stop = int(self.indptr[index]), int(self.indptr[index + 1])
        pairs = zip(
            self.indices[start:stop].tolist(),
            self.weights_of(part)[start:stop].tolist(),
            strict=True,
        )
        shared = self.output_weights is None
        taking_part = [pair for pair in pairs if shared or pair[1] != 0.0]
        return sorted(taking_part, key=lambda pair: (-abs(pair[1]), pair[0]))

    def drawn_from_class(self) -> Tensor:
        """``(T,)`` bool: computed rows that are drawn from the source rows of their class."""
        if self.classes is None:
            return torch.zeros(self.rows, dtype=torch.bool)
        return (self.classes.target >= 0) & (self.sizes() == 0)

    def sizes(self) -> Tensor:
        """``(T,)``: number of weights per row."""
        return self.indptr.diff()

    def copies(self) -> Tensor:
        """``(T,)`` bool: rows that are taken over bit for bit."""
        return self.provenance <= int(Provenance.copied)

    def faults(self) -> list[str]:
        """Everything that is wrong with the map, in words; empty for a good one."""
        shapes = self._shape_faults()
        return shapes or self._content_faults()

    def validate(self) -> None:
        """Refuse a map that would make a wrong table.

        Raises:
            CompatibilityError: lists all faults.
        """
        if faults := self.faults():
            method = self.notes.get("method", "unknown method")
            raise CompatibilityError(
                f"the token map ({method}) is not usable: {'; '.join(faults)}; fit it again"
            )

    def _shape_faults(self) -> list[str]:
        expected = {
            "indptr": (torch.int64, (self.rows + 1,)),
            "indices": (torch.int32, (self.weights.shape[0],)),
            "weights": (torch.float32, (self.weights.shape[0],)),
            "provenance": (torch.uint8, (self.rows,)),
            "exemplars": (torch.bool, (self.source_rows,)),
        }
        tensors = {name: getattr(self, name) for name in expected}
        if self.output_weights is not None:
            tensors["output_weights"] = self.output_weights
            expected["output_weights"] = expected["weights"]
        if self.classes is not None:
            for name in ("source", "target"):
                tensors[f"classes.{name}"] = getattr(self.classes, name)
            expected["classes.source"] = (torch.int32, (self.source_rows,))
            expected["classes.target"] = (torch.int32, (self.rows,))
        faults = []
        for name, (dtype, shape) in expected.items():
            tensor: Tensor = tensors[name]
            if tensor.dtype != dtype or tuple(tensor.shape) != shape:
                found = f"{tensor.dtype} {tuple(tensor.shape)}"
                faults.append(f"{name} is {found}, expected {dtype} {shape}")
        if len(self.keys) != self.rows:
            faults.append(f"{len(self.keys)} keys for {self.rows} rows")
        if faults:
            return faults
        if self.indptr[0] != 0 or self.indptr[-1] != self.weights.shape[0]:
            faults.append(f"indptr runs from {int(self.indptr[0])} to {int(self.indptr[-1])}")
        elif bool((self.sizes() < 0).any()):
            faults.append(f"indptr falls at row {_first(self.sizes() < 0)}")
        return faults

    def _content_faults(self) -> list[str]:
        faults = []
        if self.rows and int(self.provenance.max()) >= len(Provenance):
            faults.append(f"provenance code {int(self.provenance.max())} is unknown")
        outside = (self.indices < 0) | (self.indices >= self.source_rows)
        if bool(outside.any()):
            first = int(self.indices[outside][0])
            faults.append(f"indices: source row {first} lies outside 0..{self.source_rows - 1}")
        every = {"weights": self.weights}
        if self.output_weights is not None:
            every["output_weights"] = self.output_weights
        sizes, copies = self.sizes(), self.copies()
        for name, weights in every.items():
            if not bool(torch.isfinite(weights).all()):
                faults.append(f"{name} hold NaN or infinity")
        if (row := _first(copies & (sizes != 1))) is not None:
            faults.append(
                f"row {row} (special or copied) has {int(sizes[row])} source rows, expected 1"
            )
        else:
            faults += self._copy_faults(every)
        without = (sizes == 0) & ~self.drawn_from_class()
        if (row := _first(without & (self.provenance == int(Provenance.computed)))) is not None:
            faults.append(f"row {row} (computed) has no weights")
        for kind in (Provenance.padding, Provenance.given):
            if (row := _first((self.provenance == int(kind)) & (sizes > 0))) is not None:
                faults.append(f"row {row} ({kind.name}) has {int(sizes[row])} weights, expected 0")
        faults += self._class_faults()
        if not bool(self.exemplars.any()):
            faults.append("exemplars: no source row stands for text, so there is no mean row")
        return faults

    def _copy_faults(self, every: dict[str, Tensor]) -> list[str]:
        """Of rows that are one source row as it is: their weight must be 1."""
        rows, faults = self.copies().nonzero().flatten(), []
        for name, weights in every.items():
            values = weights[self.indptr[:-1][rows]]
            if (at := _first(values != 1)) is not None:
                where = f"{name} of row {int(rows[at])} (special or copied)"
                faults.append(f"{where}: {float(values[at])}, expected 1")
        return faults

    def _class_faults(self) -> list[str]:
        if self.classes is None:
            return []
        sizes, count = self.classes.sizes(), len(self.classes.names)
        asked = self.classes.target[self.classes.target >= 0].unique().tolist()
        if any(index >= count for index in asked) or len(sizes) > count:
            return [f"a row is of a class past the {count} named ones"]
        return [
            f"class {self.classes.names[index]!r} has no source row"
            for index in asked
            if sizes[index] == 0
        ]


def _first(mask: Tensor) -> int | None:
    """Place of the first True, None where there is none."""
    found = mask.nonzero().flatten()
    return int(found[0]) if len(found) else None
