"""Records of local files, one reader per layout, each with the line it came from."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from franken.config.sources import FileFormat
from franken.errors import DataError

ENDINGS = {
    ".jsonl": FileFormat.jsonl,
    ".ndjson": FileFormat.jsonl,
    ".json": FileFormat.json,
    ".txt": FileFormat.text,
    ".text": FileFormat.text,
    ".tsv": FileFormat.tsv,
    ".csv": FileFormat.csv,
    ".parquet": FileFormat.parquet,
}


class Row(NamedTuple):
    """A record and where it stands, for messages: ``file:line``."""

    where: str
    record: dict[str, Any]


def read_file(
    path: Path, layout: FileFormat = FileFormat.auto, columns: Sequence[str] | None = None
) -> Iterator[Row]:
    """Read a file record by record; only JSON arrays are held in memory as a whole.

    Args:
        path: ``.gz`` is unpacked on the way.
        layout: How the file is laid out; ``auto`` goes by the ending.
        columns: Names of the columns of a table without a header. A headerless ``tsv`` is split at
            tabs and its quotation marks are ordinary characters; other tables follow CSV quoting.

    Raises:
        DataError: Naming file and line of what cannot be read.
    """
    match detect_format(path) if layout is FileFormat.auto else layout:
        case FileFormat.jsonl:
            return _read_jsonl(path)
        case FileFormat.json:
            return _read_json(path)
        case FileFormat.text:
            return (Row(f"{path}:{number}", {"text": line}) for number, line in read_lines(path))
        case FileFormat.tsv if columns:
            return _read_tabs(path, columns)
        case FileFormat.tsv:
            return _read_table(path, "\t", columns)
        case FileFormat.words:
            return _read_words(path, columns or ())
        case FileFormat.csv:
            return _read_table(path, ",", columns)
        case FileFormat.parquet:
            return _read_parquet(path)
        case other:
            raise DataError(f"{path}: the layout {other} does not describe a file")


def detect_format(path: Path) -> FileFormat:
    """The layout that a file's ending stands for."""
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix not in ENDINGS:
        raise DataError(
            f"{path}: the ending {suffix!r} does not say how the file is laid out; set `format` to "
            f"one of {', '.join(layout.name for layout in FileFormat if layout.name != 'auto')}"
        )
    return ENDINGS[suffix]


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a UTF-8 file without their line ends, numbered from 1; a byte-order mark is dropped.

    Raises:
        DataError: If the file is missing, damaged or not UTF-8.
    """
    with open_file(path) as handle:
        try:
            for number, raw in enumerate(handle, 1):
                line = _decoded(raw, f"{path}:{number}").rstrip("\r\n")
                yield number, line.removeprefix("\ufeff") if number == 1 else line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path}: the gzip file is damaged or cut off ({error})") from error


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading bytes, unpacking ``.gz``.

    Raises:
        DataError: If there is no such file; names similar ones.
    """
    try:
        if path.suffix == ".gz":
            return cast(BinaryIO, gzip.open(path, "rb"))
        return open(path, "rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}){_similar(path)}") from error


def _similar(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the directory {path.parent} does not exist"
    names = [entry.name for entry in path.parent.iterdir()]
    near = get_close_matches(path.name, names, n=3)
    return f"; similar files there: {', '.join(near)}" if near else ""


def _decoded(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: byte {error.start + 1} of the line (0x{raw[error.start]:02x}) is not UTF-8; "
            "convert the file, e.g. `iconv -f LATIN1 -t UTF-8`"
        ) from error


def _read_jsonl(path: Path) -> Iterator[Row]:
    for number, line in read_lines(path):
        if line.strip():
            yield _row(_parsed(line, f"{path}:{number}"), f"{path}:{number}")


def _read_json(path: Path) -> Iterator[Row]:
    whole = _parsed("\n".join(line for _, line in read_lines(path)), str(path))
    if isinstance(whole, dict):
        whole = whole.get("data")
    if not isinstance(whole, list):
        raise DataError(f"{path}: holds neither a JSON array nor an object with an array 'data'")
    for number, record in enumerate(whole, 1):
        row = _row(record, f"{path}: record {number}")
        if isinstance(record.get("paragraphs"), list):
            yield from _squad_rows(row)
        else:
            yield row


def _squad_rows(article: Row) -> Iterator[Row]:
    """Rows as on the hub (id, context, question, answers) of an article in SQuAD 1.1 nesting.

    Raises:
        DataError: Naming what an article, a paragraph or a question lacks.
    """
    try:
        for paragraph in article.record["paragraphs"]:
            for question in paragraph["qas"]:
                answers = question["answers"]
                record = {
                    "id": question["id"],
                    "context": paragraph["context"],
                    "question": question["question"],
                    "answers": {
                        "text": [answer["text"] for answer in answers],
                        "answer_start": [answer["answer_start"] for answer in answers],
                    },
                }
                yield Row(f"{article.where}, question {question['id']}", record)
    except KeyError as error:
        raise DataError(
            f"{article.where}: looks like SQuAD (it has `paragraphs`), but {error.args[0]!r} is "
            "missing in it; expected: paragraphs: [{context, qas: [{id, question, answers: "
            "[{text, answer_start}]}]}]"
        ) from None


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where}: is not JSON ({error.msg} at line {error.lineno}, column {error.colno})"
        ) from error


def _row(record: Any, where: str) -> Row:
    if not isinstance(record, dict):
        raise DataError(f"{where}: holds a {type(record).__name__} where an object is expected")
    return Row(where, record)


def _read_tabs(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    for number, line in read_lines(path):
        if line.strip():
            yield _table_row(line.split("\t"), columns, f"{path}:{number}")


def _read_words(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    for number, line in read_lines(path):
        if cells := line.split():
            yield _table_row(cells, columns, f"{path}:{number}")


def _read_table(path: Path, separator: str, columns: Sequence[str] | None) -> Iterator[Row]:
    lines = (line + "\n" for _, line in read_lines(path))
    reader = csv.reader(lines, delimiter=separator, strict=True)
    names = columns
    try:
        for cells in reader:
            if not cells:
                continue
            if names is None:
                names = cells
            else:
                yield _table_row(cells, names, f"{path}:{reader.line_num}")
    except csv.Error as error:
        raise DataError(
            f"{path}:{reader.line_num}: is no valid row ({error}); a table whose quotation marks "
            "are ordinary characters needs `format: tsv` and `columns`"
        ) from error


def _table_row(cells: Sequence[str], columns: Sequence[str], where: str) -> Row:
    if len(cells) != len(columns):
        raise DataError(
            f"{where}: has {len(cells)} columns where {len(columns)} are expected "
            f"({', '.join(columns)})"
        )
    return Row(where, dict(zip(columns, cells, strict=True)))


def _read_parquet(path: Path) -> Iterator[Row]:
    from pyarrow import ArrowException, parquet  # a heavy import that most data do not need

    with open_file(path) as handle:
        number = 0
        try:
            for batch in parquet.ParquetFile(handle).iter_batches(batch_size=1024):
                for record in batch.to_pylist():
                    number += 1
                    yield Row(f"{path}: row {number}", record)
        except (ArrowException, OSError) as error:
            raise DataError(f"{path}: is no readable Parquet file ({error})") from error
