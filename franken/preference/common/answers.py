"""Sampled answers as records, and the files that hold them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from franken.data.source import Preference
from franken.errors import ArtifactError
from franken.files import write_atomically

ANSWERS_FILE = "answers.jsonl"
BEST_FILE = "best.jsonl"
PAIRS_FILES = {"train": "pairs.jsonl", "valid": "pairs_held_out.jsonl"}


@dataclass(frozen=True)
class Answer:
    """One sampled answer."""

    text: str
    log_prob: float
    """Nats under the model it was sampled from, end token included."""
    tokens: int
    ended: bool
    """Whether the model ended it; otherwise it was cut at the limit of tokens."""


@dataclass(frozen=True)
class Answered:
    """A prompt with what one model answered."""

    prompt: str
    response: str
    """The answer that the data have."""
    task: str
    answers: tuple[Answer, ...]


def write_answers(records: Iterable[Answered], path: Path) -> None:
    """Write JSON lines."""
    write_lines((asdict(record) for record in records), path)


def read_answers(path: Path) -> Iterator[Answered]:
    """Read what :func:`write_answers` wrote."""
    for line in read_lines(path):
        answers = tuple(Answer(**answer) for answer in line.pop("answers"))
        yield Answered(**line, answers=answers)


def write_pairs(pairs: Iterable[Preference], path: Path) -> None:
    """Write JSON lines with ``prompt, chosen, rejected, task``: files that ``data=local`` reads."""
    write_lines((pair._asdict() for pair in pairs), path)


def read_pairs(path: Path) -> Iterator[Preference]:
    """Read what :func:`write_pairs` wrote."""
    return (Preference(**line) for line in read_lines(path))


def write_lines(records: Iterable[dict[str, Any]], path: Path) -> None:
    """Write JSON lines, whole or not at all."""
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    write_atomically(path, "".join(lines).encode())


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read JSON lines; a separator of Unicode inside a text ends none.

    Raises:
        ArtifactError: where the file is missing or a line is no JSON.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                yield json.loads(line)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); remove the artefact") from error
