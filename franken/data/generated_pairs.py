"""A data source whose sentence pairs come from a file: those of a back-translation."""

import json
from collections.abc import Iterator
from pathlib import Path

from franken.data.derived_source import DerivedSource
from franken.data.source import TRAIN, DataSource, Pair
from franken.errors import DataError
from franken.files import sha256_file, write_atomically


class WithPairs(DerivedSource):
    """Another source in all but the role ``parallel``."""

    def __init__(self, source: DataSource, directory: Path) -> None:
        """Args: the ``source`` behind, and the ``directory`` with a file per language."""
        super().__init__(source)
        self._directory = directory

    def has(self, role: str, lang: str | None = None) -> bool:
        """The role ``parallel`` in the languages that there are files of."""
        if role != "parallel":
            return self._source.has(role, lang)
        if lang is None:
            return any(self._directory.glob("*.jsonl"))
        return self._file(lang).is_file()

    def difference(self) -> list[str]:
        """Hashes of the files."""
        return [sha256_file(file) for file in sorted(self._directory.glob("*.jsonl"))]

    def pairs(self, lang: str, split: str = TRAIN) -> Iterator[Pair]:
        """The pairs of the file; validation pairs are those of the source behind.

        Raises:
            DataError: where there is no file of the language.
        """
        if split != TRAIN:
            yield from self._source.pairs(lang, split)
            return
        if not self._file(lang).is_file():
            raise DataError(f"no pairs were generated for language {lang!r}")
        with self._file(lang).open(encoding="utf-8", newline="\n") as lines:
            for line in lines:  # splitlines() would also cut at U+2028 inside a sentence
                record = json.loads(line)
                yield Pair(record["source"], record["target"])

    def _file(self, lang: str) -> Path:
        return self._directory / f"{lang}.jsonl"


def write_pairs(pairs: list[Pair], directory: Path, lang: str) -> None:
    """Write the file of one language."""
    lines = [
        json.dumps({"source": pair.source, "target": pair.target}, ensure_ascii=False)
        for pair in pairs
    ]
    write_atomically(directory / f"{lang}.jsonl", "".join(f"{line}\n" for line in lines).encode())
