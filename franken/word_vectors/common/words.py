"""Words of a line of text."""

from functools import cache
from typing import Any

import regex


def words_of(line: str) -> list[str]:
    """Words with their combining marks, and punctuation marks one by one, in their own case."""
    found: list[str] = _word().findall(line)
    return found


@cache
def _word() -> Any:
    return regex.compile(r"[\p{L}\p{M}\p{N}]+(?:['’-][\p{L}\p{M}\p{N}]+)*|[^\s\p{L}\p{M}\p{N}]")
