"""Files of other aligners: Moses text with Pharaoh links, and tables of word pairs."""

import math
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np

from franken.alignment.common.bitext import Bitext, by_space, read_bitext
from franken.alignment.common.links import Links, from_sentences
from franken.alignment.common.table import WordTable
from franken.errors import DataError

Sentence = list[tuple[int, int]]


def read_moses(source: Path, target: Path, links: Path) -> tuple[Bitext, Links]:
    """Two text files, sentence by line, and their links.

    Args:
        source: words between spaces.
        target: likewise.
        links: ``i-j`` per link: place of the source word, place of the target word, from 0.

    Raises:
        DataError: naming file and line where counts differ or a link points nowhere.
    """
    pairs, kept = [], []
    lines = zip_longest(_lines(source), _lines(target), _lines(links))
    for number, (left, right, row) in enumerate(lines, 1):
        ends = [p for p, t in zip((source, target, links), (left, right, row), strict=True)
                if t is None]  # fmt: skip
        if ends:
            raise DataError(
                f"{ends[0]} ends after {number - 1} lines, but "
                f"{next(p for p in (source, target, links) if p not in ends)} goes on; the three "
                "files must have one line per sentence pair"
            )
        sizes = len(left.split()), len(right.split())
        sentence = _links_of(row, sizes, f"{links}:{number}")
        if all(sizes):
            pairs.append((left, right))
            kept.append(sentence)
    if not pairs:
        raise DataError(f"{source} and {target} hold no sentence pair")
    bitext = read_bitext(pairs, splitter=by_space)
    return bitext, from_sentences(bitext, kept)


def read_pharaoh(path: Path, bitext: Bitext) -> Links:
    """Links of a file for a bitext that is in memory.

    Raises:
        DataError: as :func:`read_moses`.
    """
    sizes = zip(bitext.source.lengths.tolist(), bitext.target.lengths.tolist(), strict=True)
    found: list[Sentence] = []
    for number, (row, size) in enumerate(zip_longest(_lines(path), sizes), 1):
        if row is None or size is None:
            count = sum(1 for _ in _lines(path))
            raise DataError(f"{path} has {count} lines for {len(bitext)} sentence pairs")
        found.append(_links_of(row, size, f"{path}:{number}"))
    return from_sentences(bitext, found)


def read_word_table(path: Path, columns: list[str]) -> WordTable:
    """A TSV of word pairs with their counts; a pair that occurs twice adds up.

    Rows for NULL (``<eps>``, ``NULL``, ``<NULL>``) are left out.

    Args:
        path: the file, one pair per line.
        columns: what each column holds, see ``FilesAlignment.columns``.

    Raises:
        DataError: naming file and line of a row that is too short or holds no number.
    """
    counts: dict[tuple[str, str], float] = {}
    shares: dict[tuple[str, str], float] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) < len(columns):
            raise DataError(
                f"{path}:{number}: {len(cells)} columns, expected {len(columns)} "
                f"({', '.join(columns)}) apart by tabs"
            )
        row = dict(zip(columns, cells, strict=False))
        pair = (row["source"].strip(), row["target"].strip())
        if not all(pair) or {"<eps>", "NULL", "<NULL>"} & set(pair):
            continue
        counts[pair] = counts.get(pair, 0.0) + _number(row["count"], path, number)
        if "probability" in row:
            shares[pair] = _number(row["probability"], path, number)
        elif "log_probability" in row:
            shares[pair] = math.exp(_number(row["log_probability"], path, number, signed=True))
    if not counts:
        raise DataError(f"{path} holds no word pair")
    sources = {word: index for index, word in enumerate(dict.fromkeys(s for s, _ in counts))}
    targets = {word: index for index, word in enumerate(dict.fromkeys(t for _, t in counts))}
    return WordTable.of(
        list(sources),
        list(targets),
        np.array([(sources[s], targets[t]) for s, t in counts], dtype=np.int64),
        np.array(list(counts.values())),
        np.array([shares[pair] for pair in counts]) if shares else None,
        notes={"aligner": "files"},
    )


def write_moses(bitext: Bitext, source: Path, target: Path) -> None:
    """The words of a bitext as two text files, one space between words."""
    for side, path in ((bitext.source, source), (bitext.target, target)):
        with open(path, "w", encoding="utf-8", newline="\n") as handle:
            handle.writelines(" ".join(side.sentence(i)) + "\n" for i in range(len(bitext)))


def _links_of(row: str, sizes: tuple[int, int], place: str) -> Sentence:
    found: Sentence = []
    for cell in row.split():
        left, dash, right = cell.partition("-")
        if not dash or not left.isdecimal() or not right.isdecimal():
            raise DataError(f"{place}: {cell!r} is no link; expected i-j such as 0-2")
        link = (int(left), int(right))
        if link[0] >= sizes[0] or link[1] >= sizes[1]:
            raise DataError(
                f"{place}: link {cell} points outside the sentences of {sizes[0]} and {sizes[1]} "
                "words; links count words between spaces, from 0"
            )
        found.append(link)
    return found


def _number(cell: str, path: Path, line: int, *, signed: bool = False) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (value < 0 and not signed):
        raise DataError(f"{path}:{line}: {cell!r} is no {'' if signed else 'non-negative '}number")
    return value


def _lines(path: Path) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8", newline="\n") as handle:
            for line in handle:
                yield line.rstrip("\r\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text: {error}") from error
