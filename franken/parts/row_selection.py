"""Some rows of a checkpoint's table under another vocabulary, read in blocks from the file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from franken.errors import CompatibilityError
from franken.parts.checkpoint import Checkpoint
from franken.parts.fingerprint import body_fingerprint
from franken.parts.table import table_tensors_of
from franken.parts.table_rows import Reader, TableRows
from franken.parts.tokenizer_files import token_count, tokenizer_identity

BLOCK_BYTES = 4 << 20


def selected_rows(
    directory: Path,
    tokenizer: PreTrainedTokenizerBase,
    source_ids: Sequence[int],
    *,
    pad_to_multiple: int = 1,
) -> TableRows:
    """Rows that a checkpoint has already, in another order and number, to be streamed.

    Args:
        directory: a transformers checkpoint.
        tokenizer: the vocabulary of the selection.
        source_ids: ``(T,)`` row of the checkpoint for each id of it.
        pad_to_multiple: add rows up to a multiple, each the mean of the others, whose logit is the
            mean logit and so never wins.

    Raises:
        CompatibilityError: for an id that the checkpoint has no row for.
        ArtifactError: where the checkpoint has no table.
    """
    checkpoint = Checkpoint(directory)
    names = table_tensors_of(checkpoint)
    source = names["input"]
    ids = torch.as_tensor(source_ids, dtype=torch.long)
    if len(ids) and int(ids.max()) >= checkpoint.shape(source)[0]:
        raise CompatibilityError(
            f"id {int(ids.max())} has no row: the table in {directory} has "
            f"{checkpoint.shape(source)[0]} rows"
        )
    selected = TableRows(
        tokenizer,
        body_fingerprint(Path(directory), checkpoint.anatomy()),
        {part: (len(ids), *checkpoint.shape(name)[1:]) for part, name in names.items()},
        {part: checkpoint.range(name).code for part, name in names.items()},
        {part: _gather(checkpoint, name, ids) for part, name in names.items()},
        tokenizer_identity(tokenizer),
    )
    return padded_rows(selected, pad_to_multiple)


def padded_rows(rows: TableRows, multiple: int) -> TableRows:
    """A table with rows up to a multiple: each of those added is the mean of the tokens' rows.

    Its logit is then the mean of the tokens' logits, which the largest of them is above; rows of
    zeros would have the logit 0, which may be the largest.
    """
    count = rows.count + -rows.count % multiple
    if count == rows.count:
        return rows
    tokens = min(rows.count, token_count(rows.tokenizer))
    return replace(
        rows,
        shapes={part: (count, *shape[1:]) for part, shape in rows.shapes.items()},
        readers={part: _padded(read, rows.count, tokens) for part, read in rows.readers.items()},
        stored={},
    )


def _gather(checkpoint: Checkpoint, name: str, ids: Tensor) -> Reader:
    """Rows by place in ``ids``: blocks of the file that hold none of them are not read."""
    shape = checkpoint.shape(name)
    row_bytes = checkpoint.range(name).bytes_count // max(1, shape[0])
    step = max(1, BLOCK_BYTES // max(1, row_bytes))

    def rows(start: int, stop: int) -> Tensor:
        wanted = ids[start:stop]
        found = torch.empty((len(wanted), *shape[1:]), dtype=checkpoint.dtype(name))
        blocks = wanted // step
        for block in blocks.unique().tolist():
            first = block * step
            places = (blocks == block).nonzero().flatten()
            part = checkpoint.rows(name, first, min(first + step, shape[0]))
            found[places] = part[wanted[places] - first]
        return found

    return rows


def _padded(read: Reader, count: int, tokens: int) -> Reader:
    """Places from ``count`` on read as the mean of the first ``tokens``."""
    mean: list[Tensor] = []

    def rows(start: int, stop: int) -> Tensor:
        own = read(min(start, count), min(stop, count))
        if stop <= count:
            return own
        if not mean:
            step = 8192
            ends = ((at, min(at + step, tokens)) for at in range(0, tokens, step))
            parts = [read(*places).float().sum(0) for places in ends]
            mean.append((torch.stack(parts).sum(0) / tokens).to(own.dtype))
        return torch.cat([own, mean[0].expand(stop - max(start, count), *own.shape[1:])])

    return rows
