"""The atom that has the largest inner product with a vector, among many atoms for many vectors.

All inner products are made in bfloat16 where the processor multiplies it (AMX, AVX-512), else in
float32. Their error has a bound, and the atoms that the bound does not exclude are compared again,
those left of them in float64: which atom is found rests on float64 alone, not on the processor.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from franken.token_map.pair_products import fast_dtype, pair_products

_GROUP = 32
_TILE_ROWS = 4096  # with 512 vectors some 4 MB of scores, which stay in the cache
_PART_ROWS = 512  # in float64 while the tiles are made: a tile of them would be 19 MB, four times
_BITS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}
_SINGLE = torch.finfo(torch.float32).eps


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
        among: ``(m,)`` int64, ascending: numbers of those that may be found; default: all.
        normalise: compare directions; otherwise long atoms are preferred.
        dtype: of the first comparison; default: that of :func:`fast_dtype`.
        few_bits: numbers of eight bits are compared first, in whatever format; default: not on the
            CPU.
    """

    def __init__(
        self,
        atoms: Tensor,
        *,
        among: Tensor | None = None,
        normalise: bool = False,
        dtype: torch.dtype | None = None,
        few_bits: bool | None = None,
    ) -> None:
        self._atoms = atoms
        self._dtype = fast_dtype(atoms.device) if dtype is None else dtype
        self._few_bits = atoms.device.type != "cpu" if few_bits is None else few_bits
        if among is None:
            among = torch.arange(len(atoms), device=atoms.device)
        lengths = torch.cat(
            [
                torch.linalg.vector_norm(atoms[part], dim=1, dtype=torch.float64)
                for part in among.split(_PART_ROWS)
            ]
        )
        self._order = among[lengths.argsort(descending=True, stable=True)]
        # A power of two is exact; with it no rounding error falls below the least number.
        unit = 2.0 ** -torch.log2(lengths.max()).ceil()
        self._scale = lengths.new_zeros(len(atoms))
        self._scale[among] = torch.where(lengths > 0, 1 / lengths if normalise else unit, 0.0)
        places = -(-len(among) // _GROUP) * _GROUP
        self._coarse = atoms.new_zeros(places, atoms.shape[1], dtype=self._dtype)
        self._tiles = [
            self._tile(start, min(start + _TILE_ROWS, places))
            for start in range(0, places, _TILE_ROWS)
        ]

    def _tile(self, start: int, stop: int) -> _Tile:
        lost = length = 0.0
        numbers = self._order[start:stop]
        places = self._coarse[start : start + len(numbers)]
        for part, coarse in zip(numbers.split(_PART_ROWS), places.split(_PART_ROWS), strict=True):
            exact = self._atoms[part].double() * self._scale[part, None]
            rounded = coarse.copy_(self._rounded(exact)).double()
            lost = max(lost, float((exact - rounded).norm(dim=1).max()))
            length = max(length, float(rounded.norm(dim=1).max()))
        return _Tile(start, stop, lost, length)

    def best(self, vectors: Tensor, taken: Tensor) -> Tensor:
        """The best atom of each vector, of equal ones that of the lowest number.

        Args:
            vectors: ``(B, D)`` float64; the zero vector finds nothing.
            taken: ``(B, t)`` int64 atoms that it shall not be.

        Returns:
            ``(B,)`` atom numbers; -1 where there is none, or none that is not taken already has an
            inner product above the rounding noise.
        """
        lengths = vectors.norm(dim=1, keepdim=True)
        asked = lengths > 0
        unit = torch.empty_like(vectors, dtype=torch.float32)
        torch.div(vectors, torch.where(asked, lengths, 1.0), out=unit)
        pairs, certain = self._nearly_best(unit, self._candidates(unit, asked[:, 0]))
        sizes = vectors.new_ones(len(pairs.atoms))
        sizes[~certain] = self._sizes(vectors, pairs.where(~certain))
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
        lost = (unit - coarse).norm(dim=1) + 2 * unit.shape[1] * _SINGLE
        rounding = 0.6 * torch.finfo(self._dtype).eps  # of the result: at most half an eps
        slack = torch.tensor([tile.lost for tile in self._tiles], device=where)[:, None] + (
            torch.tensor([tile.length for tile in self._tiles], device=where)[:, None] * lost
        )
        least = torch.full((len(unit),), torch.inf, device=where)
        least[asked] = 0.0
        space = coarse.new_empty(_TILE_ROWS, len(unit))  # one for all tiles: it stays in the cache
        found = []
        for tile, error in zip(self._tiles, slack, strict=True):
            scores = space[: tile.stop - tile.start]
            torch.mm(self._coarse[tile.start : tile.stop], coarse.T, out=scores)
            bits = scores.view(_BITS[self._dtype])
            bits.bitwise_and_(torch.iinfo(bits.dtype).max)  # no sign: integers sort as sizes do
            bits = bits.view(-1, _GROUP, len(unit))
            most = bits.amax(1)
            highest = most.amax(0).view(self._dtype).float()
            least = torch.maximum(least, highest * (1 - rounding) - error)
            floor = self._floor(least - error, rounding)
            group, vector = (most >= floor).nonzero(as_tuple=True)
            sizes = bits[group, :, vector]
            pair, place = (sizes >= floor[vector][:, None]).nonzero(as_tuple=True)
            places = group[pair] * _GROUP + place + tile.start
            found.append((vector[pair], places, sizes[pair, place]))
        vector, place, size = (torch.cat(side) for side in zip(*found, strict=True))
        floors = self._floor(least - slack, rounding)
        kept = (size >= floors[place // _TILE_ROWS, vector]) & (place < len(self._order))
        vector, order = vector[kept].sort(stable=True)
        return _Pairs(vector, self._order[place[kept][order]])

    def _floor(self, least: Tensor, rounding: float) -> Tensor:
        """Bits of what is low enough after its own rounding: a score below it is not the best."""
        floor = (least * (1 - 3 * rounding)).clamp_(min=0.0)
        return floor.to(self._dtype).view(_BITS[self._dtype])

    def _nearly_best(self, unit: Tensor, pairs: _Pairs) -> tuple[_Pairs, Tensor]:
        """Those left by a comparison in float32, whose sums of ``D`` products are off by less.

        And which of them are alone, with a size that is certainly not zero: ``(P,)`` bool.
        """
        sizes = self._sizes(unit, pairs)
        length = self._tiles[0].length if self._tiles else 0.0
        error = 2 * (unit.shape[1] + 4) * _SINGLE * length
        most = sizes.new_zeros(len(unit)).scatter_reduce(0, pairs.vectors, sizes, "amax")
        pairs = pairs.where(sizes >= most[pairs.vectors] - 2 * error)
        alone = (pairs.vectors.bincount(minlength=len(unit)) == 1) & (most > error)
        return pairs, alone[pairs.vectors]

    def _sizes(self, vectors: Tensor, pairs: _Pairs) -> Tensor:
        """``(P,)`` sizes of the inner products, in the number format of the vectors."""
        found = pair_products(vectors, self._atoms, pairs.vectors, pairs.atoms)
        return found.abs_().mul_(self._scale[pairs.atoms])
