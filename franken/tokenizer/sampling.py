"""Which lines of each language a tokenizer trainer reads, and encoding in chunks."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from franken.errors import DataError
from franken.seeds import derive_seed
from franken.tokenizer.options import LineSampling, PieceTraining

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Lines = Callable[[], Iterable[str]]
"""A text that can be read again from its beginning."""

CHUNK_LINES = 1024


def lines_of(texts: Iterable[str]) -> Iterator[str]:
    """Non-blank lines of texts that may hold several lines each."""
    for text in texts:
        if "\n" not in text and "\r" not in text:
            if text and not text.isspace():
                yield text
            continue
        for line in text.splitlines():
            if line and not line.isspace():
                yield line


def sample_languages(
    streams: Mapping[str, Lines], config: PieceTraining, seed: int
) -> dict[str, Lines]:
    """Draw the lines of each language that the trainer reads.

    ``cap`` takes at most ``max_lines_per_language`` of each (Franken-Adapter 2.2); ``temperature``
    gives each language a share of the same total in proportion to ``lines ** (1 / temperature)``,
    repeating small ones, still capped. Lines are read twice (once to count them), never kept.
    """
    counts = {name: sum(1 for _ in lines_of(texts())) for name, texts in sorted(streams.items())}
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        raise DataError(
            f"no text to train a vocabulary on for: {', '.join(empty)}; every language of the "
            "vocabulary needs at least one non-blank line (check data.languages and the files)"
        )
    wanted = allocate_lines(counts, config)
    return {
        name: _sampler(texts, counts[name], wanted[name], derive_seed(seed, "vocab", name))
        for name, texts in sorted(streams.items())
    }


def allocate_lines(counts: Mapping[str, int], config: PieceTraining) -> dict[str, int]:
    """Lines per language out of ``counts`` available ones."""
    cap = config.max_lines_per_language
    capped = {name: min(count, cap) for name, count in counts.items()}
    if config.sampling is LineSampling.cap:
        return capped
    weights = {name: count ** (1.0 / config.temperature) for name, count in counts.items()}
    total, mass = sum(capped.values()), sum(weights.values())
    return {
        name: min(cap, max(1, round(total * weight / mass))) for name, weight in weights.items()
    }


def encode_in_chunks(
    backend: "Tokenizer", lines: Iterable[str], *, chunk_lines: int = CHUNK_LINES
) -> Iterator[tuple[list[str], list["Encoding"]]]:
    """Chunks of lines with their encodings, without special tokens, in constant memory."""
    stream = iter(lines)
    while chunk := list(islice(stream, chunk_lines)):
        yield chunk, backend.encode_batch_fast(chunk, add_special_tokens=False)


def usage_counts(
    backend: "Tokenizer", lines: Iterable[str], size: int, *, limit: int | None = None
) -> np.ndarray:
    """How often each token id occurs: ``(size,)`` int64, over at most ``limit`` lines."""
    counts = np.zeros(size, dtype=np.int64)
    for _, encodings in encode_in_chunks(backend, islice(lines, limit)):
        ids = np.concatenate([np.asarray(encoding.ids, dtype=np.int64) for encoding in encodings])
        counts += np.bincount(ids, minlength=size)
    return counts


def _sampler(texts: Lines, available: int, wanted: int, seed: int) -> Lines:
    def read() -> Iterator[str]:
        whole, rest = divmod(wanted, available)
        for _ in range(whole):
            yield from lines_of(texts())
        if rest:
            yield from _choose(lines_of(texts()), available, rest, random.Random(seed))

    return read


def _choose(
    lines: Iterable[str], available: int, wanted: int, generator: random.Random
) -> Iterator[str]:
    """Exactly ``wanted`` lines, each subset equally likely, in order (Knuth's algorithm S)."""
    for index, line in enumerate(lines):
        if wanted == 0:
            return
        if generator.random() * (available - index) < wanted:
            wanted -= 1
            yield line
