"""Results by (sample, source layer, target layer) as Parquet: written sample by sample, so that a
killed run goes on where it was and what is there can be read at any time.
"""  # noqa: D205

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from franken.errors import ArtifactError

FILE = "rows.parquet"
TRANSPLANT, SAMPLED = "transplant", "sampled"

SCHEMA = pa.schema(
    [
        ("set", pa.string()), ("lang", pa.string()), ("id", pa.string()), ("index", pa.int32()),
        ("run", pa.string()), ("source", pa.int16()), ("target", pa.int16()),
        ("tokens", pa.list_(pa.int32())), ("text", pa.string()), ("strict", pa.bool_()),
        ("lenient", pa.bool_()), ("option", pa.bool_()), ("margin", pa.float32()),
        ("unstable", pa.bool_()),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One answer.

    Attributes:
        set: prompt set.
        lang: the language beside the source language.
        id: sample.
        index: its position in the set.
        run: ``transplant``, ``vanilla``, ``pivot``, ``pim`` or ``sampled``.
        source: layer i; for ``sampled`` the number of the draw; else -1.
        target: layer j; else -1.
        tokens: new tokens.
        text: as decoded.
        strict: verdict of ``strict_v1``.
        lenient: verdict of ``lenient``.
        option: verdict by option logits; ``None`` where there are no options or first tokens clash.
        margin: least difference of the best two logits.
        unstable: whether another engine or format might give other tokens.
    """

    set: str
    lang: str
    id: str
    index: int
    run: str
    source: int
    target: int
    tokens: Sequence[int]
    text: str
    strict: bool
    lenient: bool
    option: bool | None
    margin: float
    unstable: bool


@dataclass(frozen=True)
class Totals:
    """Of the units of a run, whichever process made them."""

    layer_tokens: int
    """Spent on transplants."""
    cut_samples: int
    """Samples that ended before all their pairs were finished."""


class RowFiles:
    """A directory with one file per unit of work."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def has(self, name: str) -> bool:
        """Whether a unit is done."""
        return self._path(name).exists()

    def write(
        self, name: str, rows: Iterable[Row], *, layer_tokens: int = 0, cut: bool = False
    ) -> None:
        """Write a unit with what it took; it is there whole or not at all."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA)
        table = table.replace_schema_metadata(
            {"layer_tokens": str(layer_tokens), "cut": str(int(cut))}
        )
        partial = path.with_suffix(".partial")
        pq.write_table(table, partial, compression="zstd")
        partial.replace(path)

    def totals(self) -> Totals:
        """What all units so far took."""
        kept = [pq.read_schema(path).metadata for path in self.directory.glob("*.parquet")]
        return Totals(
            sum(int(one[b"layer_tokens"]) for one in kept), sum(int(one[b"cut"]) for one in kept)
        )

    def unit(self, name: str) -> pa.Table:
        """One unit that is done."""
        return pq.read_table(self._path(name), schema=SCHEMA)

    def read(self) -> pa.Table:
        """All units so far, ordered by name."""
        paths = sorted(self.directory.glob("*.parquet"))
        tables = [pq.read_table(path, schema=SCHEMA) for path in paths]
        return pa.concat_tables(tables) if tables else SCHEMA.empty_table()

    def join(self, path: Path) -> pa.Table:
        """Write everything as one file; returns it."""
        table = self.read()
        pq.write_table(table, path, compression="zstd")
        return table

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.parquet"


def read_rows(path: Path) -> pa.Table:
    """Rows of an artefact.

    Raises:
        ArtifactError: where the file is missing, damaged, or of another layout.
    """
    try:
        return pq.read_table(path, schema=SCHEMA)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"{path} cannot be read as rows of a transplant: {error}") from error


def only(table: pa.Table, **values: Any) -> pa.Table:
    """Rows whose columns have these values."""
    for name, value in values.items():
        table = table.filter(pc.equal(table[name], value))
    return table
