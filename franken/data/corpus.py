"""Tokenised text on disk, memory-mapped: written once in chunks, read at any position."""

import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress

from franken.data.encoding import RecordEncoder
from franken.data.mixing import StreamSize
from franken.data.shards import Shard, encoded_shards
from franken.data.source import Instruction
from franken.errors import ArtifactError
from franken.files import read_json, write_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TokenCorpus:
    """The tokens of one stream.

    Record ``r`` is ``tokens[offsets[r] : offsets[r + 1]]``, its first ``silent[r]`` tokens have no
    loss (the prompt of an instruction).
    """

    tokens: npt.NDArray[np.unsignedinteger[Any]]
    """``(N,)`` token ids, memory-mapped."""
    offsets: npt.NDArray[np.int64]
    """``(R + 1,)`` starts of the records, memory-mapped."""
    silent: npt.NDArray[np.int32]
    """``(R,)`` leading tokens without loss, memory-mapped."""
    meta: dict[str, Any]
    """Counts: records, tokens, characters, stream_characters, truncated, skipped; capped."""

    @property
    def size(self) -> StreamSize:
        """Records, tokens and characters, and characters of the stream."""
        meta = self.meta
        return StreamSize(
            meta["records"], meta["tokens"], meta["characters"], meta["stream_characters"]
        )


def write_corpus(
    records: Iterable[str | Instruction],
    encoder: RecordEncoder,
    directory: Path,
    *,
    max_tokens: int,
    max_length: int | None = None,
    stream_characters: int | None = None,
    workers: int = 1,
) -> TokenCorpus:
    """Tokenise a stream into ``directory``, which appears whole or not at all.

    Memory is that of a few shards, whatever the stream holds. Shards of long streams that were done
    when a run was killed are not done again (``franken.data.shards``).

    Args:
        records: Texts or instructions; read no further than ``max_tokens`` needs.
        encoder: Turns records into token ids.
        directory: Where the corpus will lie; what is there already stays if it is sound.
        max_tokens: Reading stops at this many tokens; what is kept is the head of the stream.
        max_length: Records are cut to this length; ``None`` leaves them whole.
        stream_characters: Size of the stream that ``records`` are a part of; ``None``: all of it.
        workers: Processes that tokenise; no bit depends on them.

    Returns:
        The corpus, opened.
    """
    scratch = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}.tmp")
    scratch.mkdir(parents=True)
    parts = directory.with_name(f".{directory.name}.parts")
    shards = encoded_shards(
        records, encoder, parts, max_tokens=max_tokens, max_length=max_length, workers=workers
    )
    try:
        with closing(shards):
            meta = _write_files(shards, encoder, scratch, max_tokens, directory.name)
        whole = meta["characters"] if stream_characters is None else stream_characters
        meta["stream_characters"] = max(whole, meta["characters"])
        write_json(scratch / "corpus.json", meta)
        _publish(scratch, directory)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    shutil.rmtree(parts, ignore_errors=True)
    logger.info("tokenised %s: %s", directory.name, json.dumps(meta, sort_keys=True))
    return open_corpus(directory)


def open_corpus(directory: Path) -> TokenCorpus:
    """Open what ``write_corpus`` left.

    Raises:
        ArtifactError: If a file is missing or has another length than was written.
    """
    try:
        meta = read_json(directory / "corpus.json")
        corpus = TokenCorpus(
            tokens=_map(directory / "tokens.bin", meta["dtype"], meta["tokens"]),
            offsets=_map(directory / "offsets.bin", "<i8", meta["records"] + 1),
            silent=_map(directory / "silent.bin", "<i4", meta["records"]),
            meta=meta,
        )
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(
            f"the tokenised corpus {directory} is damaged ({error}); delete it, it will be rebuilt"
        ) from error
    return corpus


def _publish(scratch: Path, directory: Path) -> None:
    """Rename into place; a sound corpus that another process put there first stays."""
    try:
        os.replace(scratch, directory)
    except OSError:
        if not directory.exists():
            raise
        try:
            open_corpus(directory)
        except ArtifactError:
            shutil.rmtree(directory)
            os.replace(scratch, directory)
        else:
            shutil.rmtree(scratch)


def _write_files(
    shards: Iterable[Shard],
    encoder: RecordEncoder,
    directory: Path,
    max_tokens: int,
    label: str,
) -> dict[str, Any]:
    dtype = np.dtype("<u2" if encoder.id_count <= 1 << 16 else "<u4")
    count = token_count = characters = truncated = skipped = 0
    console = Console(stderr=True)
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
        open(directory / "tokens.bin", "wb") as tokens,
        open(directory / "offsets.bin", "wb") as offsets,
        open(directory / "silent.bin", "wb") as silent,
    ):
        np.zeros(1, dtype="<i8").tofile(offsets)
        bar = progress.add_task(f"tokenising {label}", total=max_tokens)
        for shard in shards:
            ends = np.cumsum(shard.lengths, dtype=np.int64)
            begun_within = ends - shard.lengths < max_tokens - token_count
            kept = int(begun_within.sum())
            size = int(ends[kept - 1]) if kept else 0
            shard.tokens[:size].astype(dtype).tofile(tokens)
            (token_count + ends[:kept]).astype("<i8").tofile(offsets)
            shard.silent[:kept].astype("<i4").tofile(silent)
            token_count += size
            count += kept
            characters += int(shard.characters[:kept].sum(dtype=np.int64))
            truncated += int(shard.truncated[:kept].sum(dtype=np.int64))
            skipped += shard.skipped
            progress.update(bar, completed=token_count)
            if token_count >= max_tokens:
                break
    return {
        "records": count,
        "tokens": token_count,
        "characters": characters,
        "truncated": truncated,
        "skipped": skipped,
        "capped": token_count >= max_tokens,
        "dtype": dtype.str,
    }


def _map(path: Path, dtype: str, length: int) -> npt.NDArray[Any]:
    expected = length * np.dtype(dtype).itemsize
    found = path.stat().st_size
    if found != expected:
        raise ValueError(f"{path.name} has {found} bytes instead of {expected}")
    if length == 0:
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=(length,))
