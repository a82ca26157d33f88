"""Taking a part of a stream that is larger than training needs, without reading all of it."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from franken.data.source import Instruction, Pair

HELD_CHARACTERS = 1 << 24
"""Streams up to this size are read once; longer ones are not held in memory."""

Record = str | Pair | Instruction
RecordT = TypeVar("RecordT", str, Pair, Instruction, Record)


@dataclass(frozen=True)
class Subsample:
    """Which records of a stream are used."""

    keep: float
    """Share of the records, evenly spaced."""
    records: int
    """Records looked at; those behind them are not read."""
    characters: int
    """Characters looked at: the size of the stream, or as much of it as was looked at."""


def record_characters(record: Record) -> int:
    """Length of a record's text."""
    if isinstance(record, str):
        return len(record)
    return len(record[0]) + len(record[1])


def measure(
    records: Iterable[Record], need: float, read_ahead: float
) -> tuple[Subsample, list[Record] | None]:
    """Count a stream up to ``read_ahead`` times what is needed.

    A corpus often lists one origin after the other, so that its head is no fair sample of it; every
    n-th record of a longer stretch is.

    Args:
        records: The stream, from its beginning.
        need: Characters that will be used.
        read_ahead: How much more is looked at; 1 uses the head.

    Returns:
        What was found, and the records looked at if they are few enough to be held; otherwise the
        stream is to be opened once more.
    """
    count = characters = 0
    held: list[Record] | None = []
    for record in records:
        count += 1
        characters += record_characters(record)
        if held is not None:
            held.append(record)
            if characters > HELD_CHARACTERS:
                held = None
        if characters >= need * read_ahead:
            break
    keep = min(1.0, need / characters) if characters else 1.0
    # At least one record, also where each is longer than all that is needed. One ulp above
    # 1 / count: n times the float below it would not reach 1.
    least = math.nextafter(1.0 / count, 1.0) if count else 1.0
    return Subsample(min(1.0, max(keep, least)), count, characters), held


def thin(records: Iterable[RecordT], subsample: Subsample) -> Iterator[RecordT]:
    """The evenly spaced part of a stream that a measurement chose."""
    keep = subsample.keep
    for number, record in enumerate(islice(records, subsample.records)):
        if math.floor((number + 1) * keep) > math.floor(number * keep) or keep >= 1:
            yield record
