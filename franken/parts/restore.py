"""Frozen weights that training kept in a narrower number format, as they were stored.

Only formats that lost something count: trained weights are float32 and stay as they are.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from franken.parts.anatomy import anatomy_of
from franken.parts.body import load_body, stored_dtype
from franken.parts.checkpoint import Checkpoint
from franken.parts.safetensors_file import read_header
from franken.parts.table import WEIGHTS_FILE, Table, load_table


def restore_body(model: PreTrainedModel, directory: Path) -> None:
    """Undo what a narrower format did to a body's parameters, in place.

    Args:
        model: was loaded from ``directory`` without deltas; its vocabulary is left alone.
        directory: of the body. Read only where something was lost.
    """
    tables = set(anatomy_of(model.config).table_tensors)
    own = {name: p for name, p in model.named_parameters() if name not in tables}
    checkpoint = Checkpoint(directory)
    stored = stored_dtype(checkpoint, checkpoint.config())
    lossy = [name for name, parameter in own.items() if _lost(parameter, stored)]
    if not lossy:
        return
    exact = dict(load_body(directory).named_parameters())
    for name in lossy:
        _put(own[name], exact[name])


def restore_table(embedding: Any, head: Any, directory: Path) -> None:
    """``restore_rows`` from a stored table, which is read only where something was lost.

    Args:
        embedding: module with ``weight`` ``(V, D)``.
        head: module with ``weight`` ``(V, D)`` and a ``bias`` ``(V,)`` or ``None``.
        directory: of the table that the rows were taken from.
    """
    ranges, _ = read_header(directory / WEIGHTS_FILE)
    own = _parts(embedding, head)
    if any(name in own and _lost(own[name], item.dtype) for name, item in ranges.items()):
        restore_rows(embedding, head, load_table(directory))


def restore_rows(embedding: Any, head: Any, table: Table) -> None:
    """Undo what a narrower format did to rows that were taken from ``table``, in place.

    Args:
        embedding: module with ``weight`` ``(V, D)``.
        head: module with ``weight`` ``(V, D)`` and a ``bias`` ``(V,)`` or ``None``.
        table: as stored.
    """
    for name, own in _parts(embedding, head).items():
        stored = getattr(table, name)
        if stored is not None and _lost(own, stored.dtype):
            _put(own, stored)


def _parts(embedding: Any, head: Any) -> dict[str, Tensor]:
    """Parameters by the names that a table has for them."""
    bias = getattr(head, "bias", None)
    parts = {"input": embedding.weight, "output": head.weight, "output_bias": bias}
    return {name: own for name, own in parts.items() if own is not None}


def _lost(parameter: Tensor, stored: torch.dtype) -> bool:
    return torch.promote_types(parameter.dtype, stored) != parameter.dtype


def _put(parameter: Tensor, stored: Tensor) -> None:
    wide = torch.promote_types(parameter.dtype, stored.dtype)
    parameter.data = stored.detach().to(device=parameter.device, dtype=wide)
