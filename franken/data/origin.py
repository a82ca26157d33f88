"""One configured source in one language: its placeholders filled, its records in order."""

import glob
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from franken.config.sources import FileFormat, Source
from franken.data.hub import identity, local_files, read_hub
from franken.data.readers import Row, read_file, read_lines
from franken.errors import DataError
from franken.files import sha256_file

logger = logging.getLogger(__name__)

PACKAGE = Path(__file__).resolve().parent.parent
"""Directory of franken itself: ``{package}`` in ``data.root``."""


@dataclass(frozen=True)
class Origin:
    """A source of the configuration, resolved for one language."""

    key: str
    """Config key, for messages: ``data.monolingual.train``."""
    source: Source
    lang: str
    source_language: str
    root: str
    part: str | None = None
    """Published name of the part of an evaluation set; ``None`` takes the source's split."""
    places: dict[str, str] = field(init=False)
    """Placeholder -> value."""

    def __post_init__(self) -> None:
        codes = self.source.codes
        places = {
            "{root}": self.root.replace("{package}", str(PACKAGE)),
            "{lang}": codes.get(self.lang, self.lang),
            "{source}": codes.get(self.source_language, self.source_language),
            "{split}": self.split,
        }
        object.__setattr__(self, "places", places)

    @property
    def split(self) -> str:
        """The split as published."""
        return self.part if self.part is not None else self.source.split

    @property
    def is_hub(self) -> bool:
        """Whether records come through ``datasets``."""
        return self.source.format is FileFormat.hub

    @property
    def path(self) -> str:
        """Path or data set id with its placeholders filled."""
        return self.fill(self.source.paths.get(self.lang, self.source.path))

    @property
    def config(self) -> str | None:
        """Hub config with its placeholders filled."""
        name = self.source.configs.get(self.lang, self.source.config)
        return None if name is None else self.fill(name)

    @property
    def fields(self) -> Mapping[str, str]:
        """Our field -> the record's, with placeholders filled."""
        return {name: self.fill(key) for name, key in self.source.fields.items()}

    def fill(self, text: str) -> str:
        """Replace the placeholders in a text."""
        for name, value in self.places.items():
            text = text.replace(name, value)
        return text

    def rows(self) -> Iterator[Row]:
        """The records, at most ``limit``."""
        return islice(self._rows(), self.source.limit)

    def _rows(self) -> Iterator[Row]:
        if self.is_hub:
            source = self.source
            yield from read_hub(
                self.path,
                self.config,
                self.split,
                columns=source.columns,
                revision=source.revision,
                streaming=source.streaming,
            )
        elif self.source.target_path is not None:
            yield from self._aligned_rows(self.source.target_path)
        else:
            for path in self.files():
                yield from read_file(path, self.source.format, self.source.columns)

    def _aligned_rows(self, target_path: str) -> Iterator[Row]:
        """Rows ``source``, ``target`` of two text files, line by line."""
        (left,), (right,) = self._matching(self.path), self._matching(self.fill(target_path))
        sides = zip_longest(read_lines(left), read_lines(right))
        for number, (one, other) in enumerate(sides, 1):
            if one is None or other is None:
                short, long = (left, right) if one is None else (right, left)
                raise DataError(
                    f"{self.key}: {short} ends after {number - 1} lines, but {long} goes on; the "
                    "two sides of a parallel text must match line by line"
                )
            yield Row(f"{left}:{number}", {"source": one[1], "target": other[1]})

    @property
    def is_absent(self) -> bool:
        """Whether the source is optional and its files are not there."""
        if not self.source.optional or self.is_hub:
            return False
        try:
            self.files()
        except DataError:
            return True
        return False

    def files(self) -> list[Path]:
        """The files that the records come from; empty for a data set id.

        Raises:
            DataError: If a file is missing.
        """
        if self.is_hub:
            return local_files(self.path)
        targets = [] if self.source.target_path is None else [self.fill(self.source.target_path)]
        return [path for pattern in (self.path, *targets) for path in self._matching(pattern)]

    def _matching(self, pattern: str) -> list[Path]:
        path = Path(pattern)
        if path.exists():
            return [path]
        packed = path.with_name(path.name + ".gz")
        if packed.exists():
            return [packed]
        if found := sorted(glob.glob(pattern)):
            return [Path(name) for name in found]
        near = f" (nor {packed.name})" if path.suffix != ".gz" else ""
        raise DataError(
            f"{self.key}: there is no file {path}{near} for language {self.lang!r}; set the path, "
            "or `languages` of this source to those it has"
        )

    def reading(self) -> dict[str, Any]:
        """Settings that say which records of the files count, and what of them."""
        source = self.source
        return {
            "fields": dict(self.fields), "columns": source.columns, "lines": source.lines,
            "format": str(source.format), "limit": source.limit,
        }  # fmt: skip

    def content(self) -> list[Any]:
        """What stands for the records in a fingerprint."""
        if self.is_hub and not local_files(self.path):
            return identity(self.path, self.config, self.split, self.source.revision)
        return [[path.name, _hash_of(path)] for path in self.files()]


def _hash_of(path: Path) -> str:
    """Hash of a file, read again only if its size or time changed."""
    status = path.stat()
    return _cached_hash(str(path.resolve()), status.st_size, status.st_mtime_ns)


@cache
def _cached_hash(path: str, size: int, changed: int) -> str:
    return sha256_file(Path(path))
