"""Output rows of an untied model that have no weights: options ``head`` of helper methods."""

from dataclasses import replace

import torch
from torch import Tensor

from franken.parts.table import Table
from franken.token_map.engine import AppliedMap, fixed_product
from franken.token_map.options import Fallback, Head
from franken.token_map.token_map import Provenance, TokenMap

_CHUNK_ROWS = 4096
_RCOND = 1e-12


def own_rows(token_map: TokenMap, source: Table, head: Head, part: str) -> Tensor | None:
    """With ``head: global_map`` or ``random``, the output rows; copies and fallbacks as ever.

    ``global_map``: ``W E M`` with ``M = argmin |E M - O|`` over the source rows that stand for
    text, one matrix for all tokens (SALT's re-implementation for encoders has this head).
    """
    if part != "output" or source.output is None:
        return None
    if head not in (Head.global_map, Head.random):
        return None
    plain = AppliedMap(token_map, source.output, "output")
    if head is Head.random:
        made, mapping = AppliedMap(_drawn(token_map), source.output, "output"), None
    else:
        made = AppliedMap(token_map, source.input)
        mapping = input_to_output(source.input, source.output, token_map.exemplars)
    computed = token_map.provenance == int(Provenance.computed)
    table = torch.empty(plain.shape, dtype=plain.dtype)
    for start in range(0, token_map.rows, _CHUNK_ROWS):
        stop = min(start + _CHUNK_ROWS, token_map.rows)
        chosen = computed[start:stop]
        plain.rows(start, stop, out=table[start:stop])
        rows = made.rows(start, stop)[chosen]
        if mapping is not None:
            rows = fixed_product(rows.float(), mapping).to(table.dtype)
        table[start:stop][chosen] = rows
    return table


def input_to_output(rows: Tensor, output: Tensor, chosen: Tensor) -> Tensor:
    """``(D, D)`` float32 ``M`` with ``rows M`` nearest to ``output``, the shortest such matrix.

    From ``EᵀE`` and ``EᵀO`` in float64, so that nothing as large as the table is made.

    Args:
        rows: ``(S, D)``.
        output: ``(S, D)``.
        chosen: ``(S,)`` bool: rows that count.
    """
    width = rows.shape[1]
    gram, cross = torch.zeros(2, width, width, dtype=torch.float64)
    for start in range(0, len(rows), _CHUNK_ROWS):
        wanted = chosen[start : start + _CHUNK_ROWS]
        left = rows[start : start + _CHUNK_ROWS][wanted].double()
        gram += left.T @ left
        cross += left.T @ output[start : start + _CHUNK_ROWS][wanted].double()
    values, vectors = torch.linalg.eigh(gram)
    inverse = torch.where(values > _RCOND * values.max(), 1 / values, 0.0)
    mapping: Tensor = (vectors * inverse) @ (vectors.T @ cross)
    return mapping.float()


def _drawn(token_map: TokenMap) -> TokenMap:
    """The map without its computed rows, all of whose other rows without weights are drawn too."""
    computed = token_map.provenance == int(Provenance.computed)
    kept = ~torch.repeat_interleave(computed, token_map.sizes())
    sizes = torch.where(computed, 0, token_map.sizes())
    output = token_map.output_weights
    return replace(
        token_map,
        indptr=torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
        indices=token_map.indices[kept],
        weights=token_map.weights[kept],
        output_weights=None if output is None else output[kept],
        provenance=torch.where(computed, int(Provenance.fallback), token_map.provenance),
        fallback=replace(token_map.fallback, kind=Fallback.normal),
    )
