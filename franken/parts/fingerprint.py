"""A body's fingerprint: refuses a table on a foreign body, at the cost of a few reads."""

import hashlib
import re
from pathlib import Path
from typing import BinaryIO

from franken.parts.anatomy import Anatomy
from franken.parts.checkpoint import Checkpoint

BLOCK_BYTES = 4096
BLOCKS_PER_TENSOR = 64

_NOT_WEIGHTS = re.compile(r"(^|\.)(rotary_emb\.inv_freq|(attn|attention)\.(bias|masked_bias))$")
"""Buffers that old files store (frequencies, causal masks) and new ones do not."""


def body_tensors(checkpoint: Checkpoint, anatomy: Anatomy) -> list[str]:
    """Names of the stored tensors that make the body: no tables, no stored constants."""
    return [
        name
        for name in checkpoint.names()
        if not anatomy.is_table_tensor(name) and not _NOT_WEIGHTS.search(name)
    ]


def body_fingerprint(directory: Path, anatomy: Anatomy) -> str:
    """Hex sha256 that tells bodies apart, whatever their tables and shards.

    Covers name, shape and dtype of every body tensor and up to 64 blocks of 4 KiB spread evenly
    over its bytes, the first and the last among them. Tensors of at most 256 KiB are covered
    whole. A training step changes nearly all weights, so sampling sees it; a file with one
    flipped byte is the business of the artefact's checksum. A 27B model needs about 130 MB of
    reads.
    """
    checkpoint = Checkpoint(directory)
    digest = hashlib.sha256(b"franken body 1\n")
    names = body_tensors(checkpoint, anatomy)
    prefix = f"{anatomy.backbone}."
    by_file: dict[Path, dict[str, bytes]] = {}
    for name in names:
        by_file.setdefault(checkpoint.shard_of(name), {})[name] = b""
    for path, sampled in by_file.items():
        with open(path, "rb") as handle:
            for name in sampled:
                item = checkpoint.range(name)
                sampled[name] = _sample(handle, item.start, item.bytes_count)
    for name in sorted(names, key=lambda name: name.removeprefix(prefix)):
        item = checkpoint.range(name)
        digest.update(f"{name.removeprefix(prefix)} {item.code} {item.shape}\n".encode())
        digest.update(by_file[checkpoint.shard_of(name)][name])
    return digest.hexdigest()


def _sample(handle: BinaryIO, start: int, size: int) -> bytes:
    """Digest of spread blocks of the ``size`` bytes from ``start``."""
    digest = hashlib.sha256()
    if size <= BLOCK_BYTES * BLOCKS_PER_TENSOR:
        handle.seek(start)
        digest.update(handle.read(size))
        return digest.digest()
    last = size - BLOCK_BYTES
    for block in range(BLOCKS_PER_TENSOR):
        handle.seek(start + last * block // (BLOCKS_PER_TENSOR - 1))
        digest.update(handle.read(BLOCK_BYTES))
    return digest.digest()
