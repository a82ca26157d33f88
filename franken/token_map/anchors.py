"""What initialisers that read a helper's rows share: anchors, helper rows, and weights put down."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from franken.errors import CompatibilityError
from franken.memory import give_back_freed_memory
from franken.parts.table import Table, first_row_not_finite
from franken.parts.tokenizer_files import vocabulary_difference
from franken.token_map.builder import MapBuilder
from franken.token_map.options import AnchorOptions, Head, HelperOptions
from franken.token_map.resources import InitResources
from franken.tokenizer.pieces import text_of
from franken.tokenizer.pipeline import BYTE_PIECE

_PART_ROWS = 16384


@dataclass(frozen=True)
class HelperSpace:
    """Target ids of tokens and anchors, and their rows in one of the helper's tables."""

    tokens: np.ndarray
    """``(n,)`` target ids of what is to be computed."""
    anchors: np.ndarray
    """``(m,)`` target ids of shared tokens."""
    columns: np.ndarray
    """``(m,)`` source rows of the anchors."""
    token_rows: Tensor
    """``(n, h)``."""
    table: Tensor
    """``(T, h)`` or more, by target id: where all these rows are."""
    device: str = "cpu"
    """What compares rows."""
    part: str = "input"
    """``input`` or ``output``: which table of the helper, and of the source."""

    @cached_property
    def anchor_rows(self) -> Tensor:
        """``(m, h)``, on the device; a copy, nearly as large as the table, for who asks for it."""
        return _rows(self.table, self.anchors).to(self.device)


Coordinates = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Numbers of tokens, numbers of anchors, weights: arrays of one length."""

Weigh = Callable[[HelperSpace], Coordinates]


def check_helper(builder: MapBuilder, resources: InitResources) -> Table:
    """The helper, whose vocabulary must be the target's and whose rows must be finite.

    Raises:
        DataError: where there is none.
        CompatibilityError: where the vocabularies differ (says in how many tokens), or a row holds
            NaN or infinity (says which).
    """
    helper: Table = resources.require("helper", builder.config.name)
    if fault := vocabulary_difference(helper.tokenizer.get_vocab(), builder.target.get_vocab()):
        raise CompatibilityError(f"init_method={builder.config.name}: the helper model {fault}")
    for part, rows in (("input", helper.input), ("output", helper.output)):
        row = None if rows is None else first_row_not_finite(rows)
        if row is not None:
            token = builder.target.convert_ids_to_tokens([row])[0]
            raise CompatibilityError(
                f"init_method={builder.config.name}: the helper model's {part} table holds NaN or "
                f"infinity in row {row} (token {token!r}); train it again or take another, or put "
                "zeros in rows that it has not (they count as missing)"
            )
    return helper


def anchor_ids(
    builder: MapBuilder, options: AnchorOptions, usable: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Target ids and source rows of the anchors.

    Args:
        builder: with its overlap.
        options: what is left out.
        usable: ``(T,)`` bool: target tokens that have all the vectors they need.

    Raises:
        CompatibilityError: where nothing is left.
    """
    shared = np.array(sorted(builder.overlap), dtype=np.int64)
    is_text = np.array([builder.target_bytes[row] is not None for row in shared], dtype=bool)
    counts = {"shared": len(shared), "special": int((~is_text).sum())}
    keep = usable[shared] & (is_text if options.drop_special else True)
    counts["without_vector"] = int((~usable[shared] & is_text).sum())
    if options.drop_bytes:
        names = builder.target.convert_ids_to_tokens(shared.tolist())
        byte = np.array([bool(BYTE_PIECE.fullmatch(name)) for name in names], dtype=bool)
        counts["bytes"] = int((keep & byte).sum())
        keep &= ~byte
    if options.drop_digits:
        digits = np.array([_is_digits(builder.target_bytes[row]) for row in shared], dtype=bool)
        counts["digits"] = int((keep & digits).sum())
        keep &= ~digits
    columns = np.array([builder.overlap[int(row)] for row in shared], dtype=np.int64)
    if options.undertrained_quantile > 0 and keep.any():
        norms = _norms(builder.source.input, columns)
        short = norms < np.quantile(norms[keep], options.undertrained_quantile)
        counts["undertrained"] = int((keep & short).sum())
        keep &= ~short
    counts["anchors"] = int(keep.sum())
    builder.notes["anchors"] = counts
    if not keep.any():
        raise CompatibilityError(
            f"init_method={builder.config.name} has no anchors: of {counts['shared']} tokens that "
            "the source and target vocabularies share, none is a text piece with a vector "
            f"({counts}). Compare pieces by their bytes (overlap.mode=bytes), give vectors that "
            "cover the shared pieces, or choose an init_method that needs no overlap"
        )
    return shared[keep], columns[keep]


def known_rows(rows: Tensor, count: int) -> np.ndarray:
    """``(count,)`` bool: ids that have a row which is not all zero."""
    found = np.zeros(count, dtype=bool)
    stop = min(count, len(rows))
    for start in range(0, stop, _PART_ROWS):
        part = slice(start, min(start + _PART_ROWS, stop))
        found[part] = (rows[part] != 0).any(1).numpy()
    return found


def put_by_helper(builder: MapBuilder, helper: Table, weigh: Weigh) -> np.ndarray:
    """Decide every open row that has helper rows: weights over anchors, for input and output.

    Copies the shared tokens first. An untied source whose helper has an output table of its own
    gets output weights computed there, where the config's ``head`` says so.

    Args:
        builder: nothing but special and padding rows decided.
        helper: from :func:`check_helper`.
        weigh: the method.

    Returns:
        Target ids of the rows decided.
    """
    config = builder.config
    assert isinstance(config, HelperOptions)
    builder.copy_overlap()
    count = len(builder.target_bytes)
    tables = [helper.input]
    if config.head is Head.helper_head and helper.output is not None and not builder.source.tied:
        tables.append(helper.output)
    usable: np.ndarray = np.logical_and.reduce([known_rows(table, count) for table in tables])
    anchors, columns = anchor_ids(builder, config.anchors, usable)
    open_rows = np.array(builder.undecided(), dtype=np.int64)
    tokens = open_rows[usable[open_rows]]
    builder.notes["without_helper_row"] = len(open_rows) - len(tokens)
    give_back_freed_memory()  # of the comparison of the vocabularies
    found = []
    for table, part in zip(tables, ("input", "output"), strict=False):
        rows = _rows(table, tokens)
        found.append(
            weigh(HelperSpace(tokens, anchors, columns, rows, table, builder.device, part))
        )
    made: np.ndarray = np.logical_and.reduce([_has_weight(part, len(tokens)) for part in found])
    builder.notes["without_weight"] = int((~made).sum())
    for side, (row, anchor, weights) in enumerate(found):
        keep = made[row]
        zeros = np.zeros(int(keep.sum()))
        given = weights[keep]
        builder.put_entries(
            tokens[row[keep]],
            columns[anchor[keep]],
            zeros if side else given,
            output_weights=None if len(tables) == 1 else (zeros, given)[side],
        )
    builder.notes["weights"] = [_weight_notes(part, made) for part in found]
    builder.notes["head"] = str(_head_of(builder, config.head, len(tables)))
    decided: np.ndarray = tokens[made]
    return decided


def _head_of(builder: MapBuilder, wanted: Head, tables: int) -> Head:
    """What the output rows will be made by; a tied table has none of its own."""
    if wanted in (Head.global_map, Head.random) and not builder.source.tied:
        return wanted
    return Head.helper_head if tables > 1 else Head.same_weights


def _rows(table: Tensor, ids: np.ndarray) -> Tensor:
    return table[torch.from_numpy(ids)]


def _has_weight(part: Coordinates, count: int) -> np.ndarray:
    """Tokens with a weight other than zero; the others would be rows of zeros."""
    found = np.zeros(count, dtype=bool)
    found[part[0][part[2] != 0]] = True
    return found


def _weight_notes(part: Coordinates, made: np.ndarray) -> dict[str, Any]:
    """How many anchors a token has, and how wild its weights are."""
    keep = made[part[0]]
    row, weights = part[0][keep], part[2][keep]
    if not len(row):
        return {"tokens": 0}
    sizes = np.bincount(row, minlength=len(made))[made]
    sums = np.bincount(row, weights, minlength=len(made))[made]
    return {
        "tokens": int(made.sum()),
        "anchors_per_token": {
            name: float(np.quantile(sizes, share))
            for name, share in (("min", 0), ("median", 0.5), ("p90", 0.9), ("max", 1))
        },
        "max_abs_weight": float(np.abs(weights).max()),
        "negative_share": float((weights < 0).mean()),
        "mean_sum": float(sums.mean()),
    }


def _is_digits(data: bytes | None) -> bool:
    return (text_of(data) or "").strip().isdigit()


def _norms(table: Tensor, rows: np.ndarray) -> np.ndarray:
    parts = [
        table[torch.from_numpy(rows[start : start + _PART_ROWS])].float().norm(dim=1).numpy()
        for start in range(0, len(rows), _PART_ROWS)
    ]
    found: np.ndarray = np.concatenate(parts)
    return found
