"""Records of data sets in the layout of the Hugging Face hub, by id or from a local directory."""

import csv
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from franken.config.sources import FileFormat
from franken.data.readers import Row, detect_format
from franken.errors import DataError

logger = logging.getLogger(__name__)


def read_hub(
    path: str,
    config: str | None = None,
    split: str = "train",
    *,
    columns: Sequence[str] | None = None,
    revision: str | None = None,
    streaming: bool = False,
) -> Iterator[Row]:
    """Read a data set through ``datasets``; code of the data set is never run.

    Args:
        path: Data set id, a local directory laid out like a hub data set, or the address of files
            (``hf://datasets/owner/name/file.tsv``), which serves sets that a script would load.
        config: Name of the configuration, where the set has several.
        split: Name of the split.
        columns: Names of the columns of a table without a header, as in ``readers.read_file``.
        revision: Commit, tag or branch.
        streaming: Read on the way instead of downloading first.

    Raises:
        DataError: If the data set cannot be opened or read.
    """
    import datasets  # heavy, and needed for hub data only

    name = describe(path, config, split, revision)
    try:
        if "://" in path:
            options = _file_options(path, columns)
            rows = datasets.load_dataset(**options, split="train", streaming=streaming)
        else:
            rows = datasets.load_dataset(
                path, name=config, split=split, revision=revision, streaming=streaming
            )
        named = _label_lists(rows)
        for number, record in enumerate(rows, 1):
            place = f"{name}: row {number}"
            own = {key: _named(record[key], key, of, place) for key, of in named.items()}
            yield Row(place, {**record, **own})
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "no message")
        raise DataError(
            f"{name}: cannot be read ({type(error).__name__}: {reason}). Look at the names of the "
            "set, its config and split; a gated set needs `hf auth login`; without a network point "
            "`path` at a local copy of the data set's directory"
        ) from error


def _label_lists(rows: Any) -> dict[str, list[str]]:
    """Column of tags that are stored as numbers -> their names."""
    kinds = {key: getattr(kind, "feature", None) for key, kind in (rows.features or {}).items()}
    found = {key: getattr(kind, "names", None) for key, kind in kinds.items()}
    return {key: names for key, names in found.items() if names}


def _named(tags: Sequence[int], column: str, names: Sequence[str], place: str) -> list[str]:
    if strays := sorted({tag for tag in tags if not 0 <= tag < len(names)}):
        raise DataError(
            f"{place}: the column {column!r} holds {strays[0]}, its names are those of 0 to "
            f"{len(names) - 1}; -1 says that a label is withheld. Take a part with labels"
        )
    return [names[tag] for tag in tags]


def _file_options(address: str, columns: Sequence[str] | None) -> dict[str, Any]:
    """Arguments of ``load_dataset`` that read files as ``readers`` would."""
    layout = detect_format(Path(address))
    options: dict[str, Any] = {"path": layout.name, "data_files": address}
    if layout is FileFormat.jsonl:
        options["path"] = "json"
    if layout in (FileFormat.tsv, FileFormat.csv):
        tabs = layout is FileFormat.tsv
        options |= {"path": "csv", "delimiter": "\t" if tabs else ",", "keep_default_na": False}
        if columns:
            options["column_names"] = list(columns)
            options["quoting"] = csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
    return options


def describe(path: str, config: str | None, split: str, revision: str | None) -> str:
    """How messages call a data set: ``owner/name[config]@revision/split``."""
    inner = f"[{config}]" if config else ""
    return f"{path}{inner}{'@' + revision if revision else ''}/{split}"


def local_files(path: str) -> list[Path]:
    """The files of a local copy, sorted; empty if ``path`` is an id."""
    directory = Path(path)
    if not directory.is_dir():
        return []
    return sorted(
        entry
        for entry in directory.rglob("*")
        if entry.is_file() and not any(part.startswith(".") for part in entry.parts[-2:])
    )


def identity(path: str, config: str | None, split: str, revision: str | None) -> list[Any]:
    """What stands for the content of a hub data set in a fingerprint."""
    if revision is None:
        logger.warning(
            "the data set %s has no `revision`: a later upload would go unnoticed; pin a commit",
            describe(path, config, split, None),
        )
    return ["hub", path, config, split, revision]
