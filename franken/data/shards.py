"""A stream tokenised shard by shard, by one process or several, so that it can go on.

A shard is a stretch of the stream, cut by its size alone. What long streams' shards became lies in
a file each until the corpus is written: it appears whole or not at all, and says which text it was
made from. So a killed run tokenises again only what was at work, and processes change no bit.
"""

import hashlib
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from franken.errors import ArtifactError

if TYPE_CHECKING:  # processes that are started need no more than their encoder does
    from franken.data.encoding import Encoded

SHARD_CHARACTERS = 8_000_000
"""Two to five seconds of a core."""
SHARD_RECORDS = 1 << 16
CHARACTERS_PER_TOKEN = 16
"""Where less is wanted than a shard holds, a shard ends with what surely suffices."""
CHUNK = 1024
"""Records that the tokenizer gets at a time."""


class Encoder(Protocol):
    """Turns records of one kind into ids; travels to other processes by pickle."""

    id_count: int

    def encode(
        self, records: Sequence[Any], max_length: int | None = None
    ) -> "list[Encoded | None]":
        """``None`` stands for a record without tokens."""


@dataclass(frozen=True)
class Shard:
    """The records of a shard that have tokens, one after the other."""

    tokens: npt.NDArray[np.unsignedinteger[Any]]
    """``(N,)``."""
    lengths: npt.NDArray[np.int32]
    """``(R,)`` tokens of each record."""
    silent: npt.NDArray[np.int32]
    """``(R,)`` leading tokens without loss."""
    characters: npt.NDArray[np.int32]
    """``(R,)``."""
    truncated: npt.NDArray[np.uint8]
    """``(R,)``."""
    skipped: int
    """Records without tokens."""


def encoded_shards(
    records: Iterable[Any],
    encoder: Encoder,
    directory: Path,
    *,
    max_tokens: int,
    max_length: int | None = None,
    workers: int = 1,
) -> Generator[Shard, None, None]:
    """The shards of a stream, in order.

    Args:
        records: The stream; read a few shards ahead of what is taken.
        encoder: Turns records into ids.
        directory: Where the parts of long streams lie; a shorter one leaves nothing there.
        max_tokens: No more is of use.
        max_length: Records are cut to this length; ``None`` leaves them whole.
        workers: Processes; a stream of one shard is not worth another.

    Raises:
        ArtifactError: where one of the processes was killed.
    """
    limit = min(SHARD_CHARACTERS, CHARACTERS_PER_TOKEN * max_tokens)
    stretches = _stretches(records, limit)
    first = next(stretches, [])
    is_long = limit == SHARD_CHARACTERS and _fills_a_shard(first)
    if not is_long:
        for stretch in chain([first] if first else [], stretches):
            yield encode_shard(encoder, stretch, max_length)
        return
    directory.mkdir(parents=True, exist_ok=True)
    makers = _Makers(encoder, max_length, workers)
    waiting: deque[tuple[Path, Future[None] | None]] = deque()
    try:
        for number, stretch in enumerate(chain([first], stretches)):
            path = directory / f"{number:06}.safetensors"
            digest = _digest(stretch)
            waiting.append((path, None if _is_of(path, digest) else makers(path, digest, stretch)))
            if len(waiting) > 2 * workers - 2:
                yield _made(*waiting.popleft())
        while waiting:
            yield _made(*waiting.popleft())
    finally:
        makers.close()


def encode_shard(encoder: Encoder, records: list[Any], max_length: int | None) -> Shard:
    """Tokenise a shard."""
    dtype = np.dtype("<u2" if encoder.id_count <= 1 << 16 else "<u4")
    ids: list[npt.NDArray[Any]] = [np.zeros(0, dtype)]
    facts: list[tuple[int, int, int, bool]] = []
    for start in range(0, len(records), CHUNK):
        for item in encoder.encode(records[start : start + CHUNK], max_length):
            if item is not None:
                ids.append(item.ids.astype(dtype))
                facts.append((len(item.ids), item.silent, item.characters, item.truncated))
    columns = np.array(facts, dtype=np.int32).reshape(-1, 4).T
    return Shard(
        np.concatenate(ids), columns[0], columns[1], columns[2], columns[3].astype(np.uint8),
        len(records) - len(facts),
    )  # fmt: skip


def _stretches(records: Iterable[Any], limit: int) -> Iterator[list[Any]]:
    stretch: list[Any] = []
    characters = 0
    for record in records:
        stretch.append(record)
        characters += _characters(record)
        if characters >= limit or len(stretch) == SHARD_RECORDS:
            yield stretch
            stretch, characters = [], 0
    if stretch:
        yield stretch


def _fills_a_shard(stretch: list[Any]) -> bool:
    return len(stretch) == SHARD_RECORDS or sum(map(_characters, stretch)) >= SHARD_CHARACTERS


def _characters(record: Any) -> int:
    return len(record) if isinstance(record, str) else sum(map(len, record))


def _digest(records: list[Any]) -> str:
    """Of the text and of where records begin and end."""
    digest = hashlib.blake2b(digest_size=16)
    for record in records:
        for text in [record] if isinstance(record, str) else record:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\xff")
        digest.update(b"\xfe")  # neither byte is part of UTF-8
    return digest.hexdigest()


def _is_of(path: Path, digest: str) -> bool:
    try:
        with safe_open(path, framework="np") as part:
            return bool(part.metadata()["digest"] == digest)
    except (OSError, SafetensorError, KeyError, TypeError):
        return False


def _write(path: Path, digest: str, shard: Shard) -> None:
    scratch = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    arrays = {name: np.ascontiguousarray(value) for name, value in vars(shard).items()
              if name != "skipped"}  # fmt: skip
    try:
        save_file(arrays, scratch, {"digest": digest, "skipped": str(shard.skipped)})
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def _made(path: Path, future: "Future[None] | None") -> Shard:
    if future is not None:
        try:
            future.result()
        except BrokenProcessPool as error:
            raise ArtifactError(
                f"a process that tokenised for {path.parent} was killed, perhaps for want of "
                "memory; finished shards are kept: run the same command again, with fewer "
                "trainer.workers if it happens again"
            ) from error
    with safe_open(path, framework="np") as part:
        arrays = {name: part.get_tensor(name) for name in part.keys()}  # noqa: SIM118
        return Shard(**arrays, skipped=int(part.metadata()["skipped"]))


class _Makers:
    """Who makes parts: this process at once, or others, which it starts with the first part."""

    def __init__(self, encoder: Encoder, max_length: int | None, workers: int) -> None:
        self._task = (encoder, max_length)
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, path: Path, digest: str, records: list[Any]) -> "Future[None] | None":
        if self._workers == 1:
            _write(path, digest, encode_shard(self._task[0], records, self._task[1]))
            return None
        if self._pool is None:
            # spawned: a fork would inherit the locks of threads that it has not
            self._pool = ProcessPoolExecutor(
                self._workers, get_context("spawn"), _begin, initargs=self._task
            )
        return self._pool.submit(_make, path, digest, records)

    def close(self) -> None:
        """Let what is at work end and drop the rest."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


_OF_PROCESS: list[tuple[Encoder, int | None]] = []
"""In a process of the pool: what it tokenises with."""


def _begin(encoder: Encoder, max_length: int | None) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _OF_PROCESS[:] = [(encoder, max_length)]


def _make(path: Path, digest: str, records: list[Any]) -> None:
    encoder, max_length = _OF_PROCESS[0]
    _write(path, digest, encode_shard(encoder, records, max_length))
