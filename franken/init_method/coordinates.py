"""Tables of low rank (OFA): the map is applied to coordinates, the primitives are kept.

``E_s = U S Vᵀ``; coordinates ``F_s = U_k`` ``(S, k)``, primitives ``P = S_k V_kᵀ`` ``(k, D)``. The
engine makes ``F_t`` of ``F_s`` as it would make any rows, fallback draws in the space of the
coordinates included; the new table is ``F_t P``.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from franken.errors import CompatibilityError
from franken.init_method.engine import apply_map
from franken.init_method.token_map import TokenMap
from franken.parts.table import Table

_CHUNK_ROWS = 4096


def primitives(rows: Tensor, chosen: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best rank-``k`` row space of some rows.

    From the eigenvectors of ``Eᵀ E`` in float64, so that nothing as large as the table is made.

    Args:
        rows: ``(S, D)``.
        chosen: ``(S,)`` bool: rows that count; padding would take over the space.
        rank: ``k``.

    Returns:
        ``P`` ``(k, D)`` float64, whose rows are orthogonal, and the singular values of the chosen
        rows ``(D,)``, falling; ``P`` has the first ``k`` of them as norms.

    Raises:
        CompatibilityError: where ``k`` exceeds the width of the table.
    """
    width = rows.shape[1]
    if rank > width:
        raise CompatibilityError(
            f"keep_dim={rank} is more than the {width} dimensions of the table; lower it, or leave "
            "it null"
        )
    gram = torch.zeros(width, width, dtype=torch.float64)
    for start in range(0, len(rows), _CHUNK_ROWS):
        part = rows[start : start + _CHUNK_ROWS][chosen[start : start + _CHUNK_ROWS]].double()
        gram += part.T @ part
    values, vectors = torch.linalg.eigh(gram)
    singular = values.clamp(min=0).sqrt().flip(0)
    # The sign of an eigenvector is free: its largest entry shall be positive.
    directions = vectors.flip(1).T[:rank]
    peaks = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return directions * torch.sign(peaks) * singular[:rank, None], singular


def coordinates(rows: Tensor, basis: Tensor) -> Tensor:
    """``F`` ``(S, k)`` float32 with ``F P`` nearest to ``rows``; 0 along a primitive of norm 0."""
    squares = basis.square().sum(1)
    floor = squares.max() * 1e-24
    inverse = basis.T / torch.where(squares > floor, squares, torch.inf)
    made = torch.empty(len(rows), len(basis))
    for start in range(0, len(rows), _CHUNK_ROWS):
        part = rows[start : start + _CHUNK_ROWS]
        made[start : start + len(part)] = (part.double() @ inverse).float()
    return made


def apply_low_rank(
    token_map: TokenMap, source: Tensor, rank: int, *, part: str = "input"
) -> tuple[Tensor, Tensor]:
    """New coordinates and the primitives.

    Args:
        token_map: ``(T, S)``.
        source: ``(S, D)`` old rows.
        rank: ``k``.
        part: ``input`` or ``output``; each has primitives of its own.

    Returns:
        ``F_t`` ``(T, k)`` and ``P`` ``(k, D)``, float32.
    """
    basis, _ = primitives(source, token_map.exemplars, rank)
    new = apply_map(token_map, coordinates(source, basis), part=part)
    return new, basis.float()


def save_factors(token_map: TokenMap, source: Table, rank: int, directory: Path) -> None:
    """Write the factors of each table of its own to ``input`` and ``output.safetensors``.

    Tensors ``coordinates`` ``(T, k)`` and ``primitives`` ``(k, D)``, float32; their product is the
    table but for the rounding of its dtype.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for part, rows in (("input", source.input), ("output", source.output)):
        if rows is not None:
            made, basis = apply_low_rank(token_map, rows, rank, part=part)
            tensors = {"coordinates": made, "primitives": basis.contiguous()}
            save_file(tensors, directory / f"{part}.safetensors")


def folded(coordinates: Tensor, basis: Tensor, dtype: torch.dtype) -> Tensor:
    """The plain table ``F P`` in a dtype."""
    table = torch.empty(len(coordinates), basis.shape[1], dtype=dtype)
    for start in range(0, len(coordinates), _CHUNK_ROWS):
        part = coordinates[start : start + _CHUNK_ROWS]
        table[start : start + len(part)] = (part @ basis).to(dtype)
    return table
