"""Where records come from: files or hub data sets, field by field."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from franken.config.checks import at_least, members_by_name


class FileFormat(StrEnum):
    """Layouts that the file reader knows; ``auto`` goes by the file's ending."""

    auto = "auto"
    hub = "hub"
    jsonl = "jsonl"
    json = "json"
    text = "text"
    tsv = "tsv"
    words = "words"
    """Columns that any white space separates, as in MUSE's dictionaries; needs ``columns``."""
    csv = "csv"
    parquet = "parquet"


@members_by_name
@dataclass
class Source:
    """Where records come from: files (a path with ``{lang}``) or a hub data set."""

    path: str = ""
    """File path, may hold ``{root}``, ``{lang}``, ``{source}`` (the source language), wildcards; a
    missing file is also looked for with ``.gz``. For ``format: hub`` the data set id, the
    address of its files (``hf://datasets/...``), or a local directory laid out like a data set."""
    paths: dict[str, str] = field(default_factory=dict)
    """Our language code -> path or data set, where the pattern in ``path`` does not fit."""
    target_path: str | None = None
    """Pairs in two aligned text files: ``path`` has the source side, this the target side."""
    format: FileFormat = FileFormat.auto
    config: str | None = None
    """Hub config name; may hold ``{lang}`` and ``{source}``."""
    configs: dict[str, str] = field(default_factory=dict)
    """Our language code -> hub config, where the pattern in ``config`` does not fit."""
    split: str = "train"
    """Hub split."""
    revision: str | None = None
    """Hub commit; without one the fingerprint cannot notice a new upload."""
    fields: dict[str, str] = field(default_factory=dict)
    """Our field -> the record's field, dots for nesting, may hold ``{lang}`` and
    ``{source}``, ``|`` between alternatives; e.g. ``target: translation.{lang}|trg``."""
    columns: list[str] | None = None
    """Column names of a headerless table."""
    codes: dict[str, str] = field(default_factory=dict)
    """Our language code -> the code that stands for ``{lang}``; others stand for themselves."""
    languages: list[str] | None = None
    """Languages that this source has; ``null``: all of the data option."""
    lines: bool = False
    """Text roles: every line of a record is a record of its own (sentences out of documents)."""
    streaming: bool = False
    """Hub only: read without downloading the whole set."""
    limit: int | None = None
    """Records per language at most."""
    optional: bool = False
    """Left out, with a note, for the languages whose files are not there."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.path:
            yield "path", "names no file or data set"
        if self.format is FileFormat.words and not self.columns:
            yield "columns", "names no columns; format=words has no header, e.g. [source, target]"
        yield from language_faults("languages", self.languages or [])
        yield from at_least("limit", self.limit, 1)


def language_faults(key: str, languages: list[str]) -> Iterator[tuple[str, str]]:
    """YAML reads a bare ``no`` as false and ``nan`` as a number; such a code must be quoted."""
    for language in languages:
        if not isinstance(language, str) or language in ("True", "False", ".nan", ".inf", ""):
            yield (
                key,
                f"holds {language!r}, which is no language code; quote codes that YAML misreads: "
                '"no", "nan", "on"',
            )
