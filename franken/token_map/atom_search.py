"""The atom that has the largest inner product with a vector, among many atoms for many vectors.

All inner products are made in bfloat16 where the processor multiplies it in tiles (AMX), else in
float32. Their error has a bound, and the atoms that the bound does not exclude are compared again,
those left of them in float64: which atom is found rests on float64 alone, not on the processor.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_GROUP = 32
_TILE_ROWS = 4096  # with 256 vectors some 2 MB of scores, which stay in the cache
_PAIRS_BYTES = 32 << 20
_BITS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}
_SINGLE = torch.finfo(torch.float32).eps


def fast_dtype(device: torch.device | str = "cpu") -> torch.dtype:
    """What a device multiplies fastest; no result depends on it.

    A GPU adds products of bfloat16 in bfloat16 where it likes, beyond the bound: there numbers of
    eight bits are multiplied as float32, which TF32 too does without loss.
    """
    if torch.device(device).type != "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cpu.get_capabilities().get("amx_bf16") else torch.float32


class _Pairs(NamedTuple):
    """Vectors and atoms that may be the best of them."""

    vectors: Tensor
    """``(P,)`` int64, ascending."""
    atoms: Tensor
    """``(P,)`` int64."""

    def where(self, kept: Tensor) -> "_Pairs":
        return _Pairs(self.vectors[kept], self.atoms[kept])


class _Tile(NamedTuple):
    """Places of atoms that are multiplied at a time."""

    start: int
    stop: int
    lost: float
    """The most that an atom lost in rounding."""
    length: float
    """The greatest length of a rounded atom."""


class AtomSearch:
    """Finds for vectors the atom of the largest absolute inner product.

    The bound: ``|a.r - a'.r'| <= |a - a'| |r| + |a'| |r - r'|`` for rounded ``a'`` and ``r'``, plus
    what the sum over ``D`` products and the rounding of its result lose. Atoms are sorted by length
    and the bound is that of the longest in a tile, so that a few long atoms do not loosen it for
    all.

    Args:
        atoms: ``(N, D)`` float32.
        normalise: compare directions; otherwise long atoms are preferred.
        dtype: of the first comparison; default: :func:`fast_dtype`.
        few_bits: numbers of eight bits are compared first, in whatever format; default: not on the
            CPU.
    """

    def __init__(
        self,
        atoms: Tensor,
        *,
        normalise: bool = False,
        dtype: torch.dtype | None = None,
        few_bits: bool | None = None,
    ) -> None:
        self._atoms = atoms
        self._dtype = fast_dtype(atoms.device) if dtype is None else dtype
        self._few_bits = atoms.device.type != "cpu" if few_bits is None else few_bits
        lengths = torch.cat(
            [
                torch.linalg.vector_norm(part, dim=1, dtype=torch.float64)
                for part in atoms.split(_TILE_ROWS)
            ]
        )
        self._order = lengths.argsort(descending=True, stable=True)
        # A power of two is exact; with it no rounding error falls below the least number.
        unit = 2.0 ** -torch.log2(lengths.max()).ceil()
        self._scale = torch.where(lengths > 0, 1 / lengths if normalise else unit, 0.0)
        places = -(-len(atoms) // _GROUP) * _GROUP
        self._coarse = atoms.new_zeros(places, atoms.shape[1], dtype=self._dtype)
        self._tiles = [
            self._tile(start, min(start + _TILE_ROWS, places))
            for start in range(0, places, _TILE_ROWS)
        ]

    def _tile(self, start: int, stop: int) -> _Tile:
        numbers = self._order[start:stop]
        exact = self._atoms[numbers].double() * self._scale[numbers, None]
        coarse = self._coarse[start : start + len(numbers)].copy_(self._rounded(exact)).double()
        lost, length = (exact - coarse).norm(dim=1).max(), coarse.norm(dim=1).max()
        return _Tile(start, stop, float(lost), float(length))

    def best(self, vectors: Tensor, taken: Tensor) -> Tensor:
        """The best atom of each vector, of equal ones that of the lowest number.

        Args:
            vectors: ``(B, D)`` float64; the zero vector finds nothing.
            taken: ``(B, t)`` int64 atoms that it shall not be.

        Returns:
            ``(B,)`` atom numbers; -1 where there is none, or none that is not taken already has an
            inner product above the rounding noise.
        """
        lengths = vectors.norm(dim=1)
        asked = lengths > 0
        unit = vectors / torch.where(asked, lengths, 1.0)[:, None]
        pairs = self._nearly_best(unit, self._candidates(unit, asked))
        sizes = self._sizes(unit, pairs)
        sizes[(taken[pairs.vectors] == pairs.atoms[:, None]).any(1)] = 0.0
        pairs, sizes = pairs.where(sizes > 0), sizes[sizes > 0]
        owner, atom, size = (x.cpu().numpy() for x in (pairs.vectors, pairs.atoms, sizes))
        order = np.lexsort((atom, -size, owner))
        owners, firsts = np.unique(owner[order], return_index=True)
        found = torch.full((len(vectors),), -1, device="cpu")
        found[torch.from_numpy(owners)] = torch.from_numpy(atom[order[firsts]])
        return found.to(vectors.device)

    def _rounded(self, exact: Tensor) -> Tensor:
        """To the number format of the first comparison, or to eight bits in it."""
        return (exact.to(torch.bfloat16) if self._few_bits else exact).to(self._dtype)

    def _candidates(self, unit: Tensor, asked: Tensor) -> _Pairs:
        """Pairs that are the best or differ from it by less than the first comparison's errors."""
        coarse, where = self._rounded(unit), unit.device
        lost = (unit - coarse.double()).norm(dim=1).float() + 2 * unit.shape[1] * _SINGLE
        rounding = 0.6 * torch.finfo(self._dtype).eps  # of the result: at most half an eps
        scores = coarse.new_empty(len(self._coarse), len(unit))
        groups = coarse.new_empty(len(scores) // _GROUP, len(unit))
        slack = torch.tensor([tile.lost for tile in self._tiles], device=where)[:, None] + (
            torch.tensor([tile.length for tile in self._tiles], device=where)[:, None] * lost
        )
        least = torch.full((len(unit),), torch.inf, device=where)
        least[asked] = 0.0
        for tile, error in zip(self._tiles, slack, strict=True):
            part = scores[tile.start : tile.stop]
            torch.mm(self._coarse[tile.start : tile.stop], coarse.T, out=part)
            bits = part.view(_BITS[self._dtype])
            bits.bitwise_and_(torch.iinfo(bits.dtype).max)  # no sign: integers sort as sizes do
            most = bits.view(-1, _GROUP, len(unit)).amax(1).view(self._dtype)
            groups[tile.start // _GROUP : tile.stop // _GROUP] = most
            least = torch.maximum(least, most.amax(0).float() * (1 - rounding) - error)
        # Low enough after its own rounding; a score of this type below it is not the best.
        floors = ((least - slack) * (1 - 3 * rounding)).to(self._dtype)
        found = []
        for tile, floor in zip(self._tiles, floors, strict=True):
            part = groups[tile.start // _GROUP : tile.stop // _GROUP]
            group, vector = (part >= floor).nonzero(as_tuple=True)
            sizes = scores[tile.start : tile.stop].view(-1, _GROUP, len(unit))[group, :, vector]
            pair, place = (sizes >= floor[vector][:, None]).nonzero(as_tuple=True)
            found.append((vector[pair], group[pair] * _GROUP + place + tile.start))
        vector, place = (torch.cat(side) for side in zip(*found, strict=True))
        real = place < len(self._atoms)
        return _Pairs(vector[real], self._order[place[real]])

    def _nearly_best(self, unit: Tensor, pairs: _Pairs) -> _Pairs:
        """Those left by a comparison in float32, whose sums of ``D`` products are off by less."""
        sizes = self._sizes(unit.float(), pairs)
        length = self._tiles[0].length if self._tiles else 0.0
        error = 2 * (unit.shape[1] + 4) * _SINGLE * length
        most = sizes.new_zeros(len(unit)).scatter_reduce(0, pairs.vectors, sizes, "amax")
        return pairs.where(sizes >= most[pairs.vectors] - 2 * error)

    def _sizes(self, vectors: Tensor, pairs: _Pairs) -> Tensor:
        """``(P,)`` sizes of the inner products, in the number format of the vectors."""
        step = max(1, _PAIRS_BYTES // (8 * vectors.shape[1]))
        found = vectors.new_empty(len(pairs.atoms))
        for start in range(0, len(found), step):
            vector, atom = pairs.vectors[start : start + step], pairs.atoms[start : start + step]
            rows = self._atoms[atom].to(vectors.dtype)
            found[start : start + step] = torch.linalg.vecdot(rows, vectors[vector])
        return found.abs_().mul_(self._scale[pairs.atoms])
