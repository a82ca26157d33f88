"""Texts out of one file, for tasks that name a file instead of a role."""

import json
from collections.abc import Iterator
from pathlib import Path

from franken.data.origin import PACKAGE
from franken.data.readers import read_lines
from franken.errors import DataError


def read_texts(place: str) -> Iterator[str]:
    """Records of a file: lines of plain text, or the field ``text`` of JSON lines.

    Args:
        place: the file, gzipped or not; ``{package}`` stands for the directory of franken.

    Raises:
        DataError: for a file that is not there or is no text.
    """
    path = Path(place.replace("{package}", str(PACKAGE))).expanduser()
    as_json = ".jsonl" in path.name
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            yield str(json.loads(line)["text"]) if as_json else line
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}:{number} is no object with a field text: {error}") from error
