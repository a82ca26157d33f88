"""Tables of low rank (OFA): the map is applied to coordinates, the primitives are kept.

``E_s = U S Vᵀ``; coordinates ``F_s = U_k`` ``(S, k)``, primitives ``P = S_k V_kᵀ`` ``(k, D)``. The
engine makes ``F_t`` of ``F_s`` as it would make any rows, fallback draws in the space of the
coordinates included; the new table is ``F_t P``. Lengths (``norm_match``) and noise are those of
the rows ``F_t P``, since nobody reads coordinates. Control tokens keep their source rows as they
are.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from franken.errors import ArtifactError, CompatibilityError
from franken.parts.table import Table
from franken.token_map.engine import apply_map
from franken.token_map.normal_rows import standard_normal
from franken.token_map.row_sources import MemoryRows
from franken.token_map.source_statistics import SourceStatistics
from franken.token_map.token_map import Provenance, TokenMap

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
    plain = replace(token_map, norm_match=False, noise_std=0.0)
    new = apply_map(plain, coordinates(source, basis), part=part)
    statistics = SourceStatistics(MemoryRows(source), token_map.exemplars)
    if token_map.norm_match:
        _match_norms(new, token_map, basis, statistics.mean_norm)
    if token_map.noise_std > 0:
        _add_noise(new, token_map, basis, token_map.noise_std * statistics.mean_std, part)
    return new, basis.float()


def _match_norms(new: Tensor, token_map: TokenMap, basis: Tensor, goal: float) -> None:
    """Rescale coordinates of rows with weights, copies apart, so that ``F P`` has the length."""
    lengths = (new.double().square() @ basis.square().sum(1)).sqrt()  # rows of P are orthogonal
    chosen = (token_map.sizes() > 0) & ~token_map.copies() & (lengths > 0)
    new[chosen] *= (goal / lengths[chosen])[:, None].float()


def _add_noise(new: Tensor, token_map: TokenMap, basis: Tensor, std: float, part: str) -> None:
    """Gaussian noise on rows that are no copies, ``std`` per dimension in the mean over ``D``.

    It stays in the row space of ``P``: of one size in each of its directions, and as long as noise
    of ``std`` in all ``D`` dimensions is.
    """
    padding = token_map.provenance == int(Provenance.padding)
    ids = (~token_map.copies() & ~padding).nonzero().flatten()
    norms = basis.norm(dim=1)
    used = norms > norms.max() * 1e-12
    width, rank = basis.shape[1], int(used.sum())
    factors = torch.where(used, std * (width / max(rank, 1)) ** 0.5 / norms, 0.0)
    for start in range(0, len(ids), _CHUNK_ROWS):
        some = ids[start : start + _CHUNK_ROWS]
        drawn = standard_normal(
            [token_map.keys[index] for index in some.tolist()], len(basis),
            seed=token_map.fallback.seed, purpose=f"noise/{part}",
        )  # fmt: skip
        new[some] += (drawn.double() * factors).float()


@dataclass(frozen=True)
class Factors:
    """A table of low rank, as :func:`save_factors` writes it."""

    coordinates: Tensor
    """``F_t`` ``(T, k)`` float32."""
    primitives: Tensor
    """``P`` ``(k, D)`` float32."""
    special_ids: Tensor
    """``(n,)`` int64 ids of control tokens, whose rows are no product."""
    special_rows: Tensor
    """``(n, D)`` their rows, in the dtype of the table."""

    def table(self) -> Tensor:
        """``(T, D)``: the table bit for bit, as the initialiser made it."""
        table = folded(self.coordinates, self.primitives, self.special_rows.dtype)
        table[self.special_ids] = self.special_rows
        return table


def factorise(token_map: TokenMap, source: Tensor, rank: int, *, part: str = "input") -> Factors:
    """The factors of a new table, with the rows of control tokens as they are in the old one.

    Arguments as in :func:`apply_low_rank`.
    """
    made, basis = apply_low_rank(token_map, source, rank, part=part)
    ids = (token_map.provenance == int(Provenance.special)).nonzero().flatten()
    return Factors(made, basis.contiguous(), ids, old_rows(token_map, source, ids))


def old_rows(token_map: TokenMap, source: Tensor, ids: Tensor) -> Tensor:
    """``(n, D)`` source rows that rows of one source row each, such as copies, are made of."""
    return source[token_map.indices[token_map.indptr[ids]].long()]


def save_factors(token_map: TokenMap, source: Table, rank: int, directory: Path) -> None:
    """Write the :class:`Factors` of each table of its own to ``input`` and ``output.safetensors``.

    The tensors have the names of the fields.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for part, rows in (("input", source.input), ("output", source.output)):
        if rows is not None:
            found = factorise(token_map, rows, rank, part=part)
            save_file(vars(found), directory / f"{part}.safetensors")


def load_factors(directory: Path, part: str = "input") -> Factors:
    """Read the factors of one table back.

    Args:
        directory: ``factors/`` of an ``initialise`` step.
        part: ``input``, or ``output`` of an untied table.

    Raises:
        ArtifactError: where there are none, or the file is damaged.
    """
    path = directory / f"{part}.safetensors"
    try:
        return Factors(**load_file(path))
    except (OSError, SafetensorError, TypeError) as error:
        raise ArtifactError(
            f"{path} holds no factors of a table ({error}); they are written by init_method=ofa "
            "with init_method.keep_dim, for the output too where the model is untied"
        ) from error


def folded(coordinates: Tensor, basis: Tensor, dtype: torch.dtype) -> Tensor:
    """The plain table ``F P`` in a dtype."""
    table = torch.empty(len(coordinates), basis.shape[1], dtype=dtype)
    for start in range(0, len(coordinates), _CHUNK_ROWS):
        part = coordinates[start : start + _CHUNK_ROWS]
        table[start : start + len(part)] = (part @ basis).to(dtype)
    return table
