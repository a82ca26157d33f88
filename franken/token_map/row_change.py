"""What happened to the rows of one table, done to the same pieces of another."""

from torch import Tensor

from franken.errors import CompatibilityError
from franken.parts.table import Table
from franken.tokenizer.pieces import vocabulary_overlap


def with_change(
    target: Table, later: Table, earlier: Table, *, scale: float = 1.0
) -> tuple[Table, int]:
    """``target + scale * (later - earlier)`` in the rows of pieces that all have.

    Pieces are the same where their bytes are, control tokens where their role or string is. Input
    rows, output rows and biases move alike; the sum is float32.

    Args:
        target: any vocabulary.
        later: vocabulary and ties of ``earlier``.
        earlier: where the difference begins.
        scale: factor of the difference.

    Returns:
        A new table, and how many rows took part.

    Raises:
        CompatibilityError: where ``later`` has other rows than ``earlier``, or an untied
            difference would go into a tied table.
    """
    if later.tokenizer.get_vocab() != earlier.tokenizer.get_vocab():
        raise CompatibilityError(
            f"the later table has {len(later.tokenizer)} tokens, the earlier "
            f"{len(earlier.tokenizer)}, or they differ in name; rows are subtracted where both "
            "stand for one vocabulary"
        )
    if later.tied != earlier.tied or (target.tied and not later.tied):
        raise CompatibilityError(
            "a difference of input and output rows that are apart does not fit a tied table; "
            "leave the rows as they are (rows: none)"
        )
    pairs = vocabulary_overlap(earlier.tokenizer, target.tokenizer)
    ours, theirs = list(pairs), list(pairs.values())

    def moved(rows: Tensor | None, after: Tensor | None, before: Tensor | None) -> Tensor | None:
        if rows is None or after is None or before is None:
            return rows
        change = scale * (after[theirs].float() - before[theirs].float())
        result = rows.clone()
        result[ours] = (rows[ours].float() + change).to(rows.dtype)
        return result

    output = [table.input if table.output is None else table.output for table in (later, earlier)]
    first = moved(target.input, later.input, earlier.input)
    assert first is not None
    changed = Table(
        target.tokenizer,
        first,
        moved(target.output, *output),
        moved(target.output_bias, later.output_bias, earlier.output_bias),
        target.lineage,
        target.provenance | {"rows_moved": len(ours)},
    )
    return changed, len(ours)
