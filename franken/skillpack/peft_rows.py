"""Rows of a table that a pack changes or adds, as peft's trainable tokens hold them.

peft keeps the rows themselves, not their difference, so the base's are needed to write them. A pack
with a vocabulary of its own has a row for every id that means another token than in the base, or
none; whoever loads the adapter gives the base as many rows first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from franken.errors import CompatibilityError
from franken.parts.anatomy import anatomy_of_family
from franken.parts.skillpack import SkillPack, check_base
from franken.parts.table import table_of_checkpoint
from franken.parts.weights import StoredWeights
from franken.skillpack.language import graft_table


@dataclass
class TrainedRows:
    """Rows of one embedding module."""

    module: str
    ids: list[int]
    values: Tensor
    """``(n, D)``, in the base's number format."""


def trained_rows(pack: SkillPack, base: Path) -> dict[str, TrainedRows]:
    """Rows by the pack's name of their table; the same ids of each.

    Args:
        pack: of any kind.
        base: the checkpoint that the pack was made on.

    Raises:
        CompatibilityError: where the pack was made on another base, or adds a bias to the head,
            which peft has no place for.
    """
    anatomy = anatomy_of_family(pack.manifest["base"]["family"])
    places = {"input": anatomy.input_embedding, "output": anatomy.output_head}
    stored = StoredWeights.of_checkpoint(base)
    check_base(pack, stored)
    found: dict[str, TrainedRows] = {}
    if pack.manifest["vocab"] is None:
        changes = {name: pack.delta(name) for name in places.values() if name in pack.names()}
        ids = _in_any((change != 0).any(1) for change in changes.values())
        for name, change in changes.items():
            old = stored.tensor(name)
            values = (old[ids].float() + change[ids]).to(old.dtype)
            found[name] = TrainedRows(name.removesuffix(".weight"), ids.tolist(), values)
        return found
    receiver = table_of_checkpoint(base)
    table = graft_table(pack, receiver)
    if table.output_bias is not None:
        raise CompatibilityError(f"pack {pack.name!r} has a bias of the head, peft no place for it")
    matrices, before = table.matrices(), receiver.matrices()
    ids = _in_any(changed_rows(matrix, before[part]) for part, matrix in matrices.items())
    for part, matrix in matrices.items():
        name = places[part].removesuffix(".weight")
        found[f"vocab.{part}"] = TrainedRows(name, ids.tolist(), matrix[ids])
    return found


def _in_any(changed: Iterable[Tensor]) -> Tensor:
    """Ids of rows that change in some table: an adapter of rows alone has one list of them."""
    marks = list(changed)
    every = torch.stack(marks).any(0) if marks else torch.zeros(0, dtype=torch.bool)
    return every.nonzero().flatten()


def changed_rows(matrix: Tensor, old: Tensor) -> Tensor:
    """``(rows,)`` bool: whose row is not the old table's of the same id."""
    kept = min(len(matrix), len(old))
    same = torch.zeros(len(matrix), dtype=torch.bool)
    same[:kept] = (matrix[:kept] == old[:kept]).all(1)
    return ~same
