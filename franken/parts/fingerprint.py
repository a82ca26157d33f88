"""A body's fingerprint: refuses a table on a foreign body, at the cost of a few reads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

from franken.families.anatomy import Anatomy
from franken.lazy import later
from franken.parts.checkpoint import Checkpoint
from franken.parts.safetensors_file import code_of

with later():
    import torch

    from franken.parts.anatomy import anatomy_of

BLOCK_BYTES = 4096
BLOCKS_PER_TENSOR = 64


def body_tensors(checkpoint: Checkpoint, anatomy: Anatomy) -> list[str]:
    """Names of the stored tensors that make the body: no tables, no stored constants."""
    return anatomy.body_names(checkpoint.names())


def body_fingerprint(directory: Path, anatomy: Anatomy) -> str:
    """Hex sha256 that tells bodies apart, whatever their tables and shards.

    Covers name, shape and dtype of every body tensor and up to 64 blocks of 4 KiB spread evenly
    over its bytes, the first and the last among them. Tensors of at most 256 KiB are covered
    whole. A training step changes nearly all weights, so sampling sees it; a file with one
    flipped byte is the business of the artefact's checksum. A 27B model needs about 130 MB of
    reads.
    """
    checkpoint = Checkpoint(directory)
    names = body_tensors(checkpoint, anatomy)
    by_file: dict[Path, dict[str, bytes]] = {}
    for name in names:
        by_file.setdefault(checkpoint.shard_of(name), {})[name] = b""
    for path, sampled in by_file.items():
        with open(path, "rb", buffering=0) as handle:
            for name in sampled:
                item = checkpoint.range(name)
                sampled[name] = _sample(item.bytes_count, _blocks_of_file(handle, item.start))
    return _fingerprint(
        anatomy,
        {
            name: (
                checkpoint.range(name).code,
                checkpoint.range(name).shape,
                by_file[checkpoint.shard_of(name)][name],
            )
            for name in names
        },
    )


def model_fingerprint(model: Any) -> str:
    """The fingerprint that the body of a model in memory has once it is saved as it is.

    Tensors may be on any device; what is sampled of them is copied, and nothing else.
    """
    anatomy = anatomy_of(model.config)
    known = dict(model.named_parameters())
    known |= {name: buffer for name, buffer in model.state_dict().items() if name not in known}
    found = {}
    for name in anatomy.body_names(known):
        tensor = known[name]
        flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
        sample = _sample(flat.numel(), _blocks_of_tensor(flat))
        found[name] = (code_of(tensor.dtype), tuple(tensor.shape), sample)
    return _fingerprint(anatomy, found)


def _fingerprint(anatomy: Anatomy, tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> str:
    """Of code, shape and sampled digest by name."""
    digest = hashlib.sha256(b"franken body 1\n")
    prefix = f"{anatomy.backbone}."
    for name in sorted(tensors, key=lambda name: name.removeprefix(prefix)):
        code, shape, sampled = tensors[name]
        digest.update(f"{name.removeprefix(prefix)} {code} {shape}\n".encode())
        digest.update(sampled)
    return digest.hexdigest()


Blocks = Callable[[int, int], bytes]
"""Bytes of a tensor: from where, how many."""


def _sample(size: int, block: Blocks) -> bytes:
    """Digest of spread blocks of a tensor of ``size`` bytes."""
    digest = hashlib.sha256()
    if size <= BLOCK_BYTES * BLOCKS_PER_TENSOR:
        digest.update(block(0, size))
        return digest.digest()
    last = size - BLOCK_BYTES
    for number in range(BLOCKS_PER_TENSOR):
        digest.update(block(last * number // (BLOCKS_PER_TENSOR - 1), BLOCK_BYTES))
    return digest.digest()


def _blocks_of_file(handle: FileIO, start: int) -> Blocks:
    return lambda place, count: os.pread(handle.fileno(), count, start + place)


def _blocks_of_tensor(flat: torch.Tensor) -> Blocks:
    if flat.device.type == "cpu":
        known = flat.numpy()
        return lambda place, count: known[place : place + count].tobytes()
    return lambda place, count: flat[place : place + count].cpu().numpy().tobytes()
