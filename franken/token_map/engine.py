"""The one function that turns a token map and old rows into new rows.

Sums run in float32 (float64 for a float64 table), each row on its own in the order of its source
ids, and are cast once; copied rows never leave their dtype. So the result is bit for bit the same
for any chunk size, for rows in memory or on disk, and for any order of the target vocabulary.
Memory: the result, one chunk, and the source rows that the chunk needs; where few source rows make
all the others, these up to half a gigabyte. Never ``T x S``.
"""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from franken.errors import CompatibilityError
from franken.token_map.normal_rows import standard_normal
from franken.token_map.options import Fallback
from franken.token_map.row_sources import MemoryRows, RowSource, gather
from franken.token_map.source_statistics import SourceStatistics, statistics_of
from franken.token_map.token_map import Provenance, Reduce, TokenMap

_KEPT_BYTES = 512 << 20
"""Source rows in float32 that are kept between chunks, where they are used over and over."""
_CHUNK_BYTES = 4 << 20  # best of 1 to 32 MiB at D = 2304: the float32 rows stay in the cache
_GEMM_ROWS = 256  # BLAS rounds a row differently in a product of another height, so it is fixed


class AppliedMap:
    """``W @ E`` row by row: any range of new rows, computed when asked for."""

    def __init__(
        self,
        token_map: TokenMap,
        source: Tensor | RowSource,
        part: str = "input",
        *,
        given: Tensor | None = None,
        device: str = "cpu",
    ) -> None:
        """Bring map and rows together; nothing is computed yet.

        Args:
            token_map: the fitted map.
            source: ``(S, D)`` old rows, in memory or lazily read.
            part: ``input`` or ``output``; draws for the two are independent.
            given: ``(n, D)`` rows for the ids of provenance ``given``, in their order.
            device: where a covariance is computed; rows are summed on the CPU.

        Raises:
            CompatibilityError: where the map was fitted on another number of source rows, or the
                rows it counts on are not given.
        """
        self._map = token_map
        self._source: RowSource = MemoryRows(source) if isinstance(source, Tensor) else source
        if self._source.shape[0] != token_map.source_rows:
            raise CompatibilityError(
                f"the token map was fitted on {token_map.source_rows} source rows, the {part} "
                f"table has {self._source.shape[0]}; fit it on this table"
            )
        self._part = part
        self._given = None if given is None else given.to(self._source.dtype)
        self._check_given()
        self._weights = token_map.weights_of(part)
        self.statistics = statistics_of(self._source, token_map.exemplars, device)
        self._of_class: dict[int, SourceStatistics] = {}
        self._copies, self._sizes = token_map.copies(), token_map.sizes()
        self._space: tuple[Tensor, Tensor] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """``(T, D)``."""
        return (self._map.rows, self._source.shape[1])

    @property
    def dtype(self) -> torch.dtype:
        """The source's number format."""
        return self._source.dtype

    def rows(self, start: int, stop: int, *, out: Tensor | None = None) -> Tensor:
        """New rows ``start`` to ``stop``, ``(stop - start, D)`` in the source's dtype."""
        if out is None:
            out = torch.empty(stop - start, self.shape[1], dtype=self.dtype)
        copies = self._copies[start:stop]
        copied = copies.nonzero().flatten()
        if len(copied):
            self._copy(out, start, copied)
        given = self._given_at(start, stop)
        made = (~copies & ~given).nonzero().flatten()
        if len(made):
            out[made] = self._make(made + start).to(self.dtype)
        if self._given is not None and bool(given.any()):
            first = int((self._map.provenance[:start] == int(Provenance.given)).sum())
            out[given] = self._given[first : first + int(given.sum())]
        return out

    def _given_at(self, start: int, stop: int) -> Tensor:
        """``(stop - start,)`` bool: rows to take from ``given``."""
        if self._given is None:
            return torch.zeros(stop - start, dtype=torch.bool)
        return self._map.provenance[start:stop] == int(Provenance.given)

    def _check_given(self) -> None:
        wanted = int((self._map.provenance == int(Provenance.given)).sum())
        if self._given is None and wanted and self._part != "bias":
            raise CompatibilityError(
                f"the token map counts on {wanted} rows made elsewhere, and the {self._part} table "
                "is asked for without them; pass given, or fit the map again"
            )
        if self._given is not None and tuple(self._given.shape) != (wanted, self.shape[1]):
            raise CompatibilityError(
                f"given rows have shape {tuple(self._given.shape)}, the {self._part} table needs "
                f"{(wanted, self.shape[1])}"
            )

    def _copy(self, out: Tensor, start: int, local: Tensor) -> None:
        wanted = self._map.indices[self._map.indptr[local + start]].long()
        order = wanted.argsort()
        out[local[order]] = gather(self._source, wanted[order])

    def _make(self, ids: Tensor) -> Tensor:
        """Rows that are not copies, in the dtype of the sums."""
        exact = torch.float64 if self.dtype == torch.float64 else torch.float32
        weighted = self._sizes[ids] > 0
        if bool(weighted.all()):
            made = self._combine(ids, exact)
        else:
            made = torch.empty(len(ids), self.shape[1], dtype=exact)
            made[weighted] = self._combine(ids[weighted], exact)
        padding = self._map.provenance[ids] == int(Provenance.padding)
        if bool(padding.any()):
            made[padding] = self.statistics.mean.to(exact)
        empty = ~weighted & ~padding
        if bool(empty.any()):
            made[empty] = self._fall_back(ids[empty]).to(exact)
        if self._map.noise_std > 0 and bool((~padding).any()):
            noise = self._normal(ids[~padding], "noise")
            made[~padding] += noise.mul_(self._map.noise_std * self.statistics.mean_std)
        return made

    def _combine(self, ids: Tensor, exact: torch.dtype) -> Tensor:
        """``W[ids] @ E``, or the elementwise maximum."""
        sizes = self._sizes[ids]
        offsets = torch.zeros(len(ids) + 1, dtype=torch.int64)
        torch.cumsum(sizes, 0, out=offsets[1:])
        starts = torch.repeat_interleave(self._map.indptr[ids] - offsets[:-1], sizes)
        entries = torch.arange(int(offsets[-1])) + starts
        indices = self._map.indices[entries].long()
        matrix, indices = self._rows_of(indices, exact)
        if self._map.reduce is Reduce.max:
            made = embedding_bag(indices, matrix, offsets, mode="max", include_last_offset=True)
        else:
            made = embedding_bag(
                indices,
                matrix,
                offsets,
                mode="sum",
                per_sample_weights=self._weights[entries].to(exact),
                include_last_offset=True,
            )
        return self._rescaled(made) if self._map.norm_match else made

    def _rows_of(self, indices: Tensor, exact: torch.dtype) -> tuple[Tensor, Tensor]:
        """Rows in the dtype of the sums, and where in them the wanted source rows lie."""
        if isinstance(self._source, MemoryRows) and self.dtype == exact:
            return self._source.matrix, indices
        if self._kept is not None:
            return self._kept[0], self._kept[1][indices]
        needed, indices = torch.unique(indices, return_inverse=True)
        if not isinstance(self._source, MemoryRows):
            return gather(self._source, needed).to(exact), indices
        # Into memory that is there already: new pages for every chunk take longer than the copy.
        if self._space is None or len(self._space[0]) < len(needed):
            shape = (len(needed), self.shape[1])
            self._space = torch.empty(shape, dtype=self.dtype), torch.empty(shape, dtype=exact)
        stored, wide = (part[: len(needed)] for part in self._space)
        torch.index_select(self._source.matrix, 0, needed, out=stored)
        return wide.copy_(stored), indices

    @cached_property
    def _kept(self) -> tuple[Tensor, Tensor] | None:
        """Rows in float32 that all chunks share, and the place of each source row among them.

        Where rows are used four times and more, and do not fill more than ``_KEPT_BYTES``.
        """
        weighted = torch.repeat_interleave(~self._copies, self._sizes)
        used = torch.bincount(self._map.indices[weighted], minlength=self._map.source_rows)
        needed = (used > 0).nonzero().flatten()
        size = 4 * len(needed) * self.shape[1]
        few = size <= _KEPT_BYTES and int(used.sum()) >= 4 * len(needed)
        if not few or not isinstance(self._source, MemoryRows):
            return None
        places = torch.full((self._map.source_rows,), -1)
        places[needed] = torch.arange(len(needed))
        return gather(self._source, needed).float(), places

    def _rescaled(self, made: Tensor) -> Tensor:
        # einsum sums each row alone; torch's reductions may split by the number of rows.
        squares: np.ndarray = np.einsum("ij,ij->i", made.numpy(), made.numpy())
        norms = torch.from_numpy(np.sqrt(squares))
        factors = torch.where(norms > 0, self.statistics.mean_norm / norms, 1.0)
        return made * factors[:, None]

    def _fall_back(self, ids: Tensor) -> Tensor:
        """``(len(ids), D)`` float32 rows by the fallback rule."""
        classes = self._map.classes
        if classes is not None and bool((classes.target[ids] >= 0).any()):
            return self._draw_by_class(ids)
        rule, mean = self._map.fallback, self.statistics.mean.float()
        if rule.kind in (Fallback.normal, Fallback.normal_scalar):
            std = self.statistics.std.float()
            if rule.kind is Fallback.normal_scalar:
                std = std.square().mean().sqrt()
            return self._normal(ids, "fallback").mul_(std).add_(mean)
        if rule.kind is Fallback.multivariate:
            root = self.statistics.covariance_root.T * rule.scale**0.5
            return fixed_product(self._normal(ids, "fallback"), root).add_(mean)
        return mean.expand(len(ids), -1)

    def _draw_by_class(self, ids: Tensor) -> Tensor:
        """As :meth:`_fall_back`, where some rows have a class: N(its mean, its std)."""
        assert self._map.classes is not None
        of_row = self._map.classes.target[ids].long()
        made = torch.empty(len(ids), self.shape[1])
        for index in of_row.unique().tolist():
            chosen = (of_row == index).nonzero().flatten()
            if index < 0:
                made[chosen] = self._fall_back(ids[chosen])
                continue
            known = self._class_statistics(index)
            drawn = self._normal(ids[chosen], "class")
            made[chosen] = drawn.mul_(known.std.float()).add_(known.mean.float())
        return made

    def _class_statistics(self, index: int) -> SourceStatistics:
        """Statistics over the source rows of one class; kept, since chunks share them."""
        if index not in self._of_class:
            assert self._map.classes is not None
            members = self._map.classes.source == index
            self._of_class[index] = SourceStatistics(self._source, members)
        return self._of_class[index]

    def _normal(self, ids: Tensor, purpose: str) -> Tensor:
        keys = [self._map.keys[index] for index in ids.tolist()]
        purpose = f"{purpose}/{self._part}"
        return standard_normal(keys, self.shape[1], seed=self._map.fallback.seed, purpose=purpose)


def apply_map(
    token_map: TokenMap,
    source: Tensor | RowSource,
    *,
    part: str = "input",
    chunk_rows: int | None = None,
    given: Tensor | None = None,
    device: str = "cpu",
) -> Tensor:
    """Make a whole new table.

    Args:
        token_map: ``(T, S)``.
        source: ``(S, D)`` old rows, in memory or lazily read.
        part: ``input`` or ``output``.
        chunk_rows: new rows per chunk, by default as many as have 4 MiB of source rows in float32,
            which stay in the processor's cache; does not change the result.
        given: ``(n, D)`` rows that the map expects from elsewhere.
        device: where a covariance is computed.

    Returns:
        ``(T, D)`` in the dtype of ``source``.
    """
    applied = AppliedMap(token_map, source, part, given=given, device=device)
    table = torch.empty(applied.shape, dtype=applied.dtype)
    weights = max(1.0, len(token_map.indices) / max(token_map.rows, 1))
    step = chunk_rows or max(8, int(_CHUNK_BYTES / (4 * max(applied.shape[1], 1) * weights)))
    for start in range(0, token_map.rows, step):
        stop = min(start + step, token_map.rows)
        applied.rows(start, stop, out=table[start:stop])
    return table


def apply_to_bias(token_map: TokenMap, bias: Tensor, *, given: Tensor | None = None) -> Tensor:
    """A head's bias ``(S,)`` to ``(T,)``: the same weights; the mean where a row has none.

    No noise, draws or rescaling: a bias is no direction. ``given`` ``(n,)`` as in
    :func:`apply_map`; without it, its entries are the mean.
    """
    plain = TokenMap(
        token_map.indptr,
        token_map.indices,
        token_map.weights,
        token_map.provenance,
        token_map.exemplars,
        token_map.keys,
        reduce=token_map.reduce,
        output_weights=token_map.output_weights,
    )
    column = None if given is None else given[:, None]
    return apply_map(plain, bias[:, None], part="bias", given=column)[:, 0].contiguous()


def fixed_product(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` in blocks of one height, so that no row depends on how many there are."""
    result = torch.empty(len(left), right.shape[1])
    block = torch.zeros(_GEMM_ROWS, left.shape[1])
    for start in range(0, len(left), _GEMM_ROWS):
        height = min(_GEMM_ROWS, len(left) - start)
        block[:height] = left[start : start + height]
        result[start : start + height] = (block @ right)[:height]
    return result
