"""Rows of a table in chunks, whether it is in memory or in a directory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from franken.errors import ArtifactError
from franken.parts.checkpoint import Checkpoint
from franken.parts.fingerprint import body_fingerprint
from franken.parts.rowless import set_aside_rowless
from franken.parts.safetensors_file import (
    Entry,
    TensorRange,
    code_of,
    computed_entry,
    copied_entry,
    dtype_of,
    finite_entry,
    read_rows,
    write_file,
)
from franken.parts.table import (
    WEIGHTS_FILE,
    Table,
    all_finite,
    check_table,
    check_token_rows,
    open_table,
    table_tensors_of,
    write_description,
)
from franken.parts.tokenizer_files import (
    load_checkpoint_tokenizer,
    save_tokenizer,
    tokenizer_identity,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from franken.parts.stored_tokenizer import StoredTokenizer

Reader: TypeAlias = "Callable[[int, int], Tensor]"


@dataclass(frozen=True)
class TableRows:
    """What a table is, and readers of its rows."""

    tokenizer: Any
    """A fast tokenizer; a ``StoredTokenizer`` where one was given to ``open_rows``."""
    lineage: str
    shapes: dict[str, tuple[int, ...]]
    """Part (input, output, output_bias) -> shape; parts that are not there are absent."""
    codes: dict[str, str]
    """Part -> number format, as headers spell it."""
    readers: dict[str, Reader]
    tokenizer_sha256: str
    stored: dict[str, tuple[Path, TensorRange]] = field(default_factory=dict)
    """Part -> where its rows lie as the readers give them."""

    @property
    def dtypes(self) -> dict[str, torch.dtype]:
        """Part -> number format."""
        return {part: dtype_of(code) for part, code in self.codes.items()}

    @property
    def count(self) -> int:
        """T."""
        return self.shapes["input"][0]

    @property
    def hidden_size(self) -> int:
        """D."""
        return self.shapes["input"][1]

    @property
    def tied(self) -> bool:
        """Whether input and output are one matrix."""
        return "output" not in self.shapes

    def reader(self, part: str) -> Reader:
        """``rows(start, stop)`` of one part; refuses rows that are not finite."""

        def rows(start: int, stop: int) -> Tensor:
            chunk = self.readers[part](start, stop)
            if not all_finite(chunk):
                raise ArtifactError(
                    f"table.{part} holds NaN or infinity in rows {start} to {stop}; make it again"
                )
            return chunk

        return rows

    def entry(self, part: str, name: str, code: str) -> Entry:
        """A part as a tensor of a file to be written; refuses rows that are not finite.

        Args:
            part: input, output or output_bias.
            name: of the tensor.
            code: number format of the tensor, as headers spell it. Stored rows of that format are
                copied byte for byte.
        """
        if part in self.stored and self.stored[part][1].code == code:
            copied = finite_entry(copied_entry(*self.stored[part], name))
            if copied is not None:
                return copied
        return computed_entry(name, self.shapes[part], dtype_of(code), self.reader(part))


def open_rows(
    source: Table | TableRows | Path,
    *,
    tokenizer: PreTrainedTokenizerBase | StoredTokenizer | None = None,
) -> TableRows:
    """Rows of a table object, or of a table directory without loading it.

    Args:
        source: a table, or the directory of one.
        tokenizer: of the directory's table, where it is at hand (see ``open_table``).
    """
    if isinstance(source, TableRows):
        return source
    if isinstance(source, Table):
        check_table(source)
        matrices = source.matrices()
        return TableRows(
            source.tokenizer,
            source.lineage,
            {name: tuple(matrix.shape) for name, matrix in matrices.items()},
            {name: code_of(matrix.dtype) for name, matrix in matrices.items()},
            {name: slicer(matrix) for name, matrix in matrices.items()},
            tokenizer_identity(source.tokenizer),
        )
    return _open_directory(Path(source), tokenizer)


def _open_directory(
    directory: Path, tokenizer: PreTrainedTokenizerBase | StoredTokenizer | None
) -> TableRows:
    stored = open_table(directory, tokenizer=tokenizer)
    check_token_rows(stored.tokenizer, stored.description["rows"])

    def on_disk(item: TensorRange) -> Reader:
        return lambda start, stop: read_rows(stored.weights, item, start, stop)

    return TableRows(
        stored.tokenizer,
        stored.description["lineage"],
        {name: item.shape for name, item in stored.ranges.items()},
        {name: item.code for name, item in stored.ranges.items()},
        {name: on_disk(item) for name, item in stored.ranges.items()},
        stored.description["tokenizer_sha256"],
        {name: (stored.weights, item) for name, item in stored.ranges.items()},
    )


def rows_of_checkpoint(
    directory: Path, tokenizer: PreTrainedTokenizerBase | None = None
) -> TableRows:
    """Rows of the table of a model directory, none of which are read yet.

    Args:
        directory: a transformers checkpoint.
        tokenizer: default: the checkpoint's own.

    Returns:
        The table, with the checkpoint's body as lineage. Tokens without a row are set aside.

    Raises:
        ArtifactError: where the checkpoint has no table.
        CompatibilityError: where a token has no row.
    """
    checkpoint = Checkpoint(directory)
    anatomy = checkpoint.anatomy()
    stored = table_tensors_of(checkpoint)
    own = tokenizer or load_checkpoint_tokenizer(Path(directory))
    kept = set_aside_rowless(own, checkpoint.shape(stored["input"])[0])
    check_token_rows(kept, checkpoint.shape(stored["input"])[0])

    def reader(name: str) -> Reader:
        return lambda start, stop: checkpoint.rows(name, start, stop)

    return TableRows(
        kept,
        body_fingerprint(Path(directory), anatomy),
        {part: checkpoint.shape(name) for part, name in stored.items()},
        {part: checkpoint.range(name).code for part, name in stored.items()},
        {part: reader(name) for part, name in stored.items()},
        tokenizer_identity(kept),
    )


def save_rows(
    rows: TableRows, directory: Path, provenance: dict[str, Any] | Callable[[], dict[str, Any]]
) -> None:
    """Write a table as ``save_table`` does, row block by row block.

    Args:
        rows: readers of the rows; ones that are not finite are refused.
        directory: where to; made if need be.
        provenance: how the rows came about; a function is asked once the weights are written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    save_tokenizer(rows.tokenizer, directory)
    write_file(
        directory / WEIGHTS_FILE,
        [
            computed_entry(part, shape, rows.dtypes[part], rows.reader(part))
            for part, shape in rows.shapes.items()
        ],
        {"format": "pt"},
    )
    write_description(
        directory,
        rows=rows.count,
        hidden_size=rows.hidden_size,
        tied=rows.tied,
        dtype=rows.dtypes["input"],
        lineage=rows.lineage,
        provenance=provenance() if callable(provenance) else provenance,
        tokenizer_sha256=rows.tokenizer_sha256,
    )


def slicer(matrix: Tensor) -> Reader:
    """Reader of the rows of a matrix in memory."""
    return lambda start, stop: matrix[start:stop].detach().cpu()
