"""A table: a tokenizer with its input and output embeddings, as an object and as a directory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franken.errors import ArtifactError, CompatibilityError
from franken.files import sha256_file, write_json
from franken.lazy import later
from franken.parts.checkpoint import Checkpoint
from franken.parts.description import read_described
from franken.parts.fingerprint import body_fingerprint
from franken.parts.rowless import set_aside_rowless
from franken.parts.safetensors_file import (
    TensorRange,
    map_tensor,
    read_header,
    read_tensor,
    tensor_entry,
    write_file,
)
from franken.parts.tokenizer_files import (
    load_checkpoint_tokenizer,
    load_tokenizer,
    save_tokenizer,
    token_count,
    tokenizer_identity,
)

with later():
    import torch
    from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from franken.parts.stored_tokenizer import StoredTokenizer

WEIGHTS_FILE = "table.safetensors"
DESCRIPTION_FILE = "table.json"
SCHEMA = 1
_FINITE_CHUNK_ROWS = 16384


@dataclass
class Table:
    """A vocabulary and its rows. Row ``i`` belongs to token id ``i``; rows beyond are padding."""

    tokenizer: PreTrainedTokenizerBase
    input: Tensor
    """``(T, D)`` raw rows, before any input scale."""
    output: Tensor | None
    """``(T, D)``; ``None`` where input and output are tied."""
    output_bias: Tensor | None
    """``(T,)`` where the family's head has a bias."""
    lineage: str
    """Fingerprint of the base body that the rows were made for."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """How the rows came about; free JSON."""

    def __post_init__(self) -> None:
        """Rows are data here: parameters of a model come without their gradients."""
        self.input = _plain(self.input)
        self.output = None if self.output is None else _plain(self.output)
        self.output_bias = None if self.output_bias is None else _plain(self.output_bias)

    @property
    def rows(self) -> int:
        """T: rows of the matrices, padding included."""
        return self.input.shape[0]

    @property
    def hidden_size(self) -> int:
        """D."""
        return self.input.shape[1]

    @property
    def tied(self) -> bool:
        """Whether input and output are one matrix."""
        return self.output is None

    def matrices(self) -> dict[str, Tensor]:
        """The tensors that are there, by their names in files: input, output, output_bias."""
        named = {"input": self.input, "output": self.output, "output_bias": self.output_bias}
        return {name: tensor for name, tensor in named.items() if tensor is not None}


def check_table(table: Table) -> None:
    """Check shapes, number formats, finiteness, and that every token id has a row.

    Raises:
        CompatibilityError: names the tensor, the row or the token at fault.
    """
    if table.input.ndim != 2:
        raise CompatibilityError(
            f"table.input has shape {tuple(table.input.shape)}; expected (T, D)"
        )
    for name, tensor in table.matrices().items():
        expected = (table.rows,) if name == "output_bias" else (table.rows, table.hidden_size)
        if tuple(tensor.shape) != expected:
            raise CompatibilityError(
                f"table.{name} has shape {tuple(tensor.shape)}; expected {expected}"
            )
        if not tensor.is_floating_point():
            raise CompatibilityError(f"table.{name} is {tensor.dtype}; expected a float type")
        row = first_row_not_finite(tensor)
        if row is not None:
            token = table.tokenizer.convert_ids_to_tokens([row])[0]
            raise CompatibilityError(
                f"table.{name} holds NaN or infinity in row {row} (token {token!r}); "
                "make the table again"
            )
    check_token_rows(table.tokenizer, table.rows)


def check_token_rows(tokenizer: PreTrainedTokenizerBase | StoredTokenizer, rows: int) -> None:
    """Refuse a tokenizer that has ids without a row."""
    beyond = sorted(
        (index, token) for token, index in tokenizer.get_vocab().items() if index >= rows
    )
    if beyond:
        raise CompatibilityError(
            f"token {beyond[0][1]!r} has id {beyond[0][0]}, but the table has {rows} rows "
            f"({len(beyond)} such tokens); give each token a row"
        )


def all_finite(tensor: Tensor) -> bool:
    """Whether no element is NaN or infinite.

    A finite sum proves it, at a tenth of the time of looking at each element in half precision;
    the sum of finite numbers may overflow, so the other answer is checked element by element.
    """
    total = tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32))
    return bool(torch.isfinite(total)) or bool(torch.isfinite(tensor).all())


def pad_table(table: Table, multiple: int) -> Table:
    """Add rows up to a multiple, each the mean of the rows that belong to tokens.

    The logit of a mean row is the mean of the logits, so padding never wins an argmax.
    """
    if multiple < 1:
        raise ValueError(f"the multiple must be >= 1, got {multiple}")
    extra = -table.rows % multiple
    real = token_count(table.tokenizer)

    def padded(tensor: Tensor | None) -> Tensor | None:
        if tensor is None or extra == 0:
            return tensor
        mean = tensor[:real].mean(dim=0, keepdim=True, dtype=torch.float32).to(tensor.dtype)
        return torch.cat([tensor, mean.expand(extra, *tensor.shape[1:])])

    wider = padded(table.input)
    assert wider is not None
    return replace(
        table, input=wider, output=padded(table.output), output_bias=padded(table.output_bias)
    )


def first_row_not_finite(tensor: Tensor) -> int | None:
    """The lowest row with a NaN or an infinite element; ``None`` where there is none."""
    for start in range(0, tensor.shape[0], _FINITE_CHUNK_ROWS):
        part = tensor[start : start + _FINITE_CHUNK_ROWS]
        if not all_finite(part):
            finite = torch.isfinite(part).reshape(part.shape[0], -1).all(dim=1)
            return start + int((~finite).nonzero()[0])
    return None


def save_table(table: Table, directory: Path) -> None:
    """Write a table: ``table.safetensors``, tokenizer files, and ``table.json`` last."""
    check_table(table)
    directory.mkdir(parents=True, exist_ok=True)
    save_tokenizer(table.tokenizer, directory)
    write_file(
        directory / WEIGHTS_FILE,
        [tensor_entry(name, tensor) for name, tensor in table.matrices().items()],
        {"format": "pt"},
    )
    write_description(
        directory,
        rows=table.rows,
        hidden_size=table.hidden_size,
        tied=table.tied,
        dtype=table.input.dtype,
        lineage=table.lineage,
        provenance=table.provenance,
        tokenizer_sha256=tokenizer_identity(table.tokenizer),
    )


def write_description(directory: Path, *, dtype: torch.dtype, **facts: Any) -> None:
    """Write ``table.json``, once the weights are there."""
    write_json(
        directory / DESCRIPTION_FILE,
        {
            "kind": "table",
            "schema": SCHEMA,
            "dtype": str(dtype).removeprefix("torch."),
            "weights_sha256": sha256_file(directory / WEIGHTS_FILE),
            **facts,
        },
    )


def read_description(directory: Path) -> dict[str, Any]:
    """Read ``table.json``; ``ArtifactError`` where the directory holds no table."""
    return read_described(directory / DESCRIPTION_FILE, "table", {"table": SCHEMA})


@dataclass(frozen=True)
class StoredTable:
    """A table directory, opened and checked; its rows are still on disk."""

    weights: Path
    description: dict[str, Any]
    ranges: dict[str, TensorRange]
    """input, output, output_bias, as far as they are there."""
    tokenizer: Any
    """What was given, else a ``PreTrainedTokenizerFast``."""


def open_table(
    directory: Path,
    *,
    verify: bool = True,
    tokenizer: PreTrainedTokenizerBase | StoredTokenizer | None = None,
) -> StoredTable:
    """Open a table without reading its rows into memory.

    Args:
        directory: as written by ``save_table``.
        verify: check the weights' checksum; tokenizer and shapes are checked always.
        tokenizer: the table's, where it is at hand: reading 260,000 pieces takes seconds.

    Raises:
        ArtifactError: where files are missing or damaged, or belong to another tokenizer.
    """
    directory = Path(directory)
    description = read_description(directory)
    weights = directory / WEIGHTS_FILE
    ranges, _ = read_header(weights)
    if verify and sha256_file(weights) != description["weights_sha256"]:
        raise ArtifactError(
            f"{weights} is damaged: its sha256 is not the one in {DESCRIPTION_FILE}; "
            "make the table again"
        )
    tokenizer = tokenizer or load_tokenizer(directory)
    if tokenizer_identity(tokenizer) != description["tokenizer_sha256"]:
        raise ArtifactError(
            f"the tokenizer of {directory} is not the one that the table was made for (sha256 "
            f"differs from {DESCRIPTION_FILE}); rows would belong to other tokens"
        )
    expected = {"input"} if description["tied"] else {"input", "output"}
    if not expected <= set(ranges) <= expected | {"output_bias"}:
        raise ArtifactError(f"{weights} holds {sorted(ranges)}; expected {sorted(expected)}")
    shape = (description["rows"], description["hidden_size"])
    for name, item in ranges.items():
        if item.shape != (shape[:1] if name == "output_bias" else shape):
            raise ArtifactError(
                f"{weights}: {name} has shape {item.shape}; {DESCRIPTION_FILE} says {shape}"
            )
    return StoredTable(weights, description, ranges, tokenizer)


def load_table(
    directory: Path,
    *,
    verify: bool = True,
    mapped: bool = False,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> Table:
    """Read a table back.

    Args:
        directory: as written by ``save_table``.
        verify: check the weights' checksum and finiteness; see ``open_table``.
        tokenizer: see ``open_table``.
        mapped: leave the rows on disk; the system fetches what is looked at and may drop it
            again. The rows are then read-only and not looked at here.

    Raises:
        ArtifactError: where files are missing or damaged, or belong to another tokenizer.
    """
    stored = open_table(directory, verify=verify, tokenizer=tokenizer)
    read = map_tensor if mapped else read_tensor
    tensors = {name: read(stored.weights, item) for name, item in stored.ranges.items()}
    table = Table(
        stored.tokenizer,
        tensors["input"],
        tensors.get("output"),
        tensors.get("output_bias"),
        stored.description["lineage"],
        stored.description["provenance"],
    )
    if verify and not mapped:
        check_table(table)
    return table


def table_of_checkpoint(
    directory: Path, tokenizer: PreTrainedTokenizerBase | None = None, *, mapped: bool = False
) -> Table:
    """Read the table of a model directory and none of its body.

    Args:
        directory: a transformers checkpoint.
        tokenizer: default: the checkpoint's own.
        mapped: leave the rows on disk, see ``load_table``.

    Returns:
        The table, with the checkpoint's body as lineage. Tokens without a row are set aside.
    """
    checkpoint = Checkpoint(directory)
    anatomy = checkpoint.anatomy()
    stored = table_tensors_of(checkpoint)
    tokenizer = tokenizer or load_checkpoint_tokenizer(Path(directory))
    read = checkpoint.mapped if mapped else checkpoint.tensor
    tensors = {part: read(name) for part, name in stored.items()}
    table = Table(
        set_aside_rowless(tokenizer, checkpoint.shape(stored["input"])[0]),
        tensors["input"],
        tensors.get("output"),
        tensors.get("output_bias"),
        body_fingerprint(Path(directory), anatomy),
        {"method": "checkpoint", "family": anatomy.family},
    )
    check_table(table)
    return table


def table_tensors_of(checkpoint: Checkpoint) -> dict[str, str]:
    """Part (input, output, output_bias) -> how the files spell it, as far as it is stored.

    Raises:
        ArtifactError: where rows are missing.
    """
    anatomy = checkpoint.anatomy()
    stored = {name: checkpoint.stored_name(name) for name in anatomy.table_tensors}
    source = stored[anatomy.input_embedding]
    head = stored[anatomy.output_head]
    tied = checkpoint.tied()
    if source is None and tied:
        source = head  # tied files may keep either name
    if source is None or (head is None and not tied):
        lacking = anatomy.input_embedding if source is None else anatomy.output_head
        raise ArtifactError(
            f"{checkpoint.directory} lacks {lacking}; is it a body without its table?"
        )
    bias = stored[anatomy.head_bias] if anatomy.head_bias else None
    parts = {"input": source, "output": None if tied else head, "output_bias": bias}
    return {part: name for part, name in parts.items() if name is not None}


def _plain(rows: Tensor) -> Tensor:
    """A tensor that nothing trains: itself, or a view of a parameter's values."""
    return rows.detach() if rows.requires_grad or isinstance(rows, torch.nn.Parameter) else rows
