"""Rows of a table in chunks, whether it is in memory or in a directory."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from franken.errors import ArtifactError
from franken.parts.safetensors_file import TensorRange, read_rows
from franken.parts.table import Table, all_finite, check_table, check_token_rows, open_table
from franken.parts.tokenizer_files import tokenizer_identity

Reader = Callable[[int, int], Tensor]


@dataclass(frozen=True)
class TableRows:
    """What a table is, and readers of its rows."""

    tokenizer: PreTrainedTokenizerBase
    lineage: str
    shapes: dict[str, tuple[int, ...]]
    """Part (input, output, output_bias) -> shape; parts that are not there are absent."""
    readers: dict[str, Reader]
    tokenizer_sha256: str

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


def open_rows(source: Table | TableRows | Path) -> TableRows:
    """Rows of a table object, or of a table directory without loading it."""
    if isinstance(source, TableRows):
        return source
    if isinstance(source, Table):
        check_table(source)
        matrices = source.matrices()
        return TableRows(
            source.tokenizer,
            source.lineage,
            {name: tuple(matrix.shape) for name, matrix in matrices.items()},
            {name: _slicer(matrix) for name, matrix in matrices.items()},
            tokenizer_identity(source.tokenizer),
        )
    return _open_directory(Path(source))


def _open_directory(directory: Path) -> TableRows:
    stored = open_table(directory)
    check_token_rows(stored.tokenizer, stored.description["rows"])

    def on_disk(item: TensorRange) -> Reader:
        return lambda start, stop: read_rows(stored.weights, item, start, stop)

    return TableRows(
        stored.tokenizer,
        stored.description["lineage"],
        {name: item.shape for name, item in stored.ranges.items()},
        {name: on_disk(item) for name, item in stored.ranges.items()},
        stored.description["tokenizer_sha256"],
    )


def _slicer(matrix: Tensor) -> Reader:
    return lambda start, stop: matrix[start:stop].detach().cpu()
