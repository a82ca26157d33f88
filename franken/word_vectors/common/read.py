"""fastText's files: ``.vec`` text, ``.vec.gz``, and the ``.bin`` of a trained model."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import torch

from franken.errors import DataError
from franken.word_vectors.common.space import VectorSpace

END_OF_LINE = "</s>"
"""fastText's mark, listed among the words of its files; it is left out, being none."""


def read_vectors(path: Path, *, max_words: int | None = None, ngrams: bool = True) -> VectorSpace:
    """Read a file by its ending.

    Args:
        path: ``.bin`` (with its n-grams and counts), else text, gzipped where it ends in ``.gz``.
        max_words: the first words that are kept; files list them by falling frequency.
        ngrams: whether the n-grams of a ``.bin`` are kept.

    Raises:
        DataError: names file and line of what is missing, malformed or of another width.
    """
    if not path.is_file():
        raise DataError(f"word vectors: {path} is no file; check word_vectors.path and .paths")
    if path.stat().st_size == 0:
        raise DataError(f"word vectors: {path} is empty; expected a fastText .vec, .vec.gz or .bin")
    if path.suffix == ".bin":
        return _read_bin(path, max_words, ngrams)
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as handle:
        try:
            return _read_text(path, handle, max_words)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"word vectors: {path} cannot be unpacked: {error}") from error


def _read_text(path: Path, handle: BinaryIO, max_words: int | None) -> VectorSpace:
    count, dim = _header(path, handle.readline())
    wanted = count if max_words is None else min(count, max_words)
    rows: dict[str, int] = {}
    vectors = np.empty((wanted, dim), dtype=np.float32)
    for number, word, values in _lines(path, handle, wanted):
        if len(values) != dim:
            _fail(path, number, f"{word!r} has {len(values)} values, the header promises {dim}")
        # A few published files list a word twice: the more frequent one stays.
        if word not in rows and word != END_OF_LINE:
            vectors[len(rows)] = values
            rows[word] = len(rows)
    kept = torch.from_numpy(vectors[: len(rows)].copy())
    if not bool(torch.isfinite(kept).all()):
        bad = list(rows)[int((~torch.isfinite(kept)).any(1).nonzero()[0])]
        raise DataError(f"word vectors: {path}: the vector of {bad!r} holds NaN or infinity")
    return VectorSpace(list(rows), kept)


def _header(path: Path, line: bytes) -> tuple[int, int]:
    parts = line.split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or b"0" in parts:
        shown = line[:60].decode(errors="replace").rstrip()
        _fail(path, 1, f"expected the header 'words dimensions', found {shown!r}")
    return int(parts[0]), int(parts[1])


def _lines(path: Path, handle: BinaryIO, wanted: int) -> Iterator[tuple[int, str, np.ndarray]]:
    for number in range(2, wanted + 2):
        line = handle.readline()
        if not line:
            _fail(path, number, f"the file ends; the header promises {wanted} words")
        head, _, tail = line.rstrip(b" \r\n").partition(b" ")
        try:
            values = np.array(tail.split(b" "), dtype=np.float32)
        except ValueError:
            _fail(path, number, f"{head.decode(errors='replace')!r} is followed by no number")
        yield number, head.decode(errors="replace"), values


def _read_bin(path: Path, max_words: int | None, ngrams: bool) -> VectorSpace:
    from gensim.models.fasttext import load_facebook_vectors

    try:
        found = load_facebook_vectors(str(path))
    except Exception as error:  # gensim raises whatever struct and numpy raise on other bytes
        raise DataError(
            f"word vectors: {path} is no fastText model: {error!r}; text vectors end in .vec or "
            ".vec.gz"
        ) from error
    kept = [row for row, word in enumerate(found.index_to_key) if word != END_OF_LINE][:max_words]
    words = [found.index_to_key[row] for row in kept]
    vectors = torch.from_numpy(found.vectors[kept])
    counts = torch.tensor([found.get_vecattr(word, "count") for word in words])
    if not ngrams or not found.bucket:
        return VectorSpace(words, vectors, counts)
    buckets = torch.from_numpy(found.vectors_ngrams)
    return VectorSpace(words, vectors, counts, buckets, found.min_n, found.max_n)


def _fail(path: Path, line: int, what: str) -> NoReturn:
    raise DataError(f"word vectors: {path}, line {line}: {what}")
