"""Initialisation of a table that is too large to be held: rows go from disk to disk."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase as Tokenizer

from franken.init_method.base import InitMethod, fit_map, matrices_of
from franken.parts.row_report import warn_of_odd_rows
from franken.parts.safetensors_file import read_header, read_rows
from franken.parts.table import WEIGHTS_FILE, Table, load_table
from franken.parts.table_rows import Reader, TableRows, open_rows, save_rows, slicer
from franken.parts.tokenizer_files import tokenizer_identity
from franken.token_map.engine import AppliedMap, apply_to_bias
from franken.token_map.report import provenance_report
from franken.token_map.resources import InitResources
from franken.token_map.row_sources import ReaderRows
from franken.token_map.token_map import TokenMap

LARGE_BYTES = 1 << 28
"""Tables of more bytes are not held."""
_STEP_ROWS = 256


def is_large(table: Path) -> bool:
    """Whether the rows of a table directory are more than are held in memory."""
    return (table / WEIGHTS_FILE).stat().st_size > LARGE_BYTES


def initialise_large(
    source: Path,
    mapped: Table,
    target: Tokenizer,
    method: InitMethod,
    resources: InitResources,
    seed: int,
    directory: Path,
) -> tuple[Table, TokenMap]:
    """What ``initialise`` and ``save_table`` do, to the byte, in the memory of a few blocks.

    The fit sees the source as a memory map: a method that reads all rows has them pass through
    the system's cache. Rows that a method makes without the map (``own_rows``) are held.

    Args:
        source: directory of the old table.
        mapped: the table in it (``load_table(source, mapped=True)``).
        target: tokenizer of the new one.
        method: options of a method that does not train.
        resources: lexicons and the like.
        seed: of all draws.
        directory: where the new table goes.

    Returns:
        The new table, mapped; and the map.
    """
    old = open_rows(source, tokenizer=mapped.tokenizer)
    token_map = fit_map(mapped, target, method, resources, seed)
    origins = matrices_of(method, old.shapes)
    parts = {
        part: _matrix(part, origin, old, mapped, token_map, method, target, resources.device)
        for part, origin in origins.items()
    }
    if mapped.output_bias is not None:
        given = method.given_rows(token_map, target, "bias")
        parts["output_bias"] = slicer(apply_to_bias(token_map, mapped.output_bias, given=given))
        origins["output_bias"] = "output_bias"
    rows = TableRows(
        target, old.lineage,
        {part: (token_map.rows, *old.shapes[origin][1:]) for part, origin in origins.items()},
        {part: old.codes[origin] for part, origin in origins.items()},
        parts, tokenizer_identity(target),
    )  # fmt: skip

    def provenance() -> dict[str, Any]:
        path = directory / WEIGHTS_FILE
        item = read_header(path)[0]["input"]
        made = ReaderRows(
            (item.shape[0], item.shape[1]), item.dtype,
            lambda start, stop: read_rows(path, item, start, stop),
        )  # fmt: skip
        return {"seed": seed, **provenance_report(token_map, made)}

    save_rows(rows, directory, provenance)
    warn_of_odd_rows(open_rows(directory, tokenizer=target), f"init_method={method.name}")
    return load_table(directory, verify=False, mapped=True, tokenizer=target), token_map


def _matrix(
    part: str, origin: str, old: TableRows, mapped: Table, token_map: TokenMap,
    method: InitMethod, target: Tokenizer, device: str,
) -> Reader:  # fmt: skip
    """Reader of the new rows of one part, made of the rows of ``origin``."""
    own = method.own_rows(token_map, mapped, part)
    if own is not None:
        return slicer(own)
    shape = old.shapes[origin]
    source = ReaderRows((shape[0], shape[1]), old.dtypes[origin], old.readers[origin])
    given = method.given_rows(token_map, target, part)
    applied = AppliedMap(token_map, source, part, given=given, device=device)
    return _in_steps(applied)


def _in_steps(applied: AppliedMap) -> Reader:
    """Rows made a few at a time: what one step gathers from the source stays small."""

    def rows(start: int, stop: int) -> Tensor:
        steps = range(start, stop, _STEP_ROWS)
        return torch.cat([applied.rows(at, min(at + _STEP_ROWS, stop)) for at in steps])

    return rows
