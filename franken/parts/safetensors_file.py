"""Safetensors files by byte range: read single tensors or rows, write while streaming.

Reads use plain file reads, not memory maps, so memory is what was asked for and nothing else. The
writer takes chunks, so a file of any size is written from a buffer of a few MiB. Format: eight
bytes header length (little endian), JSON header, tensor bytes (huggingface/safetensors, README).
"""

from __future__ import annotations

import functools
import json
import os
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from franken.errors import ArtifactError
from franken.files import COPY_BYTES
from franken.lazy import later

with later():
    import torch
    from torch import Tensor

_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
"""How headers spell number formats, and how torch does."""
_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
"""Width of the formats of more than one byte."""
_INFINITY = {
    "F64": (0x7FF << 52, np.uint64, np.int64), "F32": (0xFF << 23, np.uint32, np.int32),
    "F16": (0x1F << 10, np.uint16, np.int16), "BF16": (0xFF << 7, np.uint16, np.int16),
}  # fmt: skip
"""Bits of infinity; what is above them, but for the sign, is no number."""

CHUNK_BYTES = 8 << 20
_ZEROS = bytes(COPY_BYTES)
_MAX_HEADER_BYTES = 100_000_000  # the limit of the reference implementation


def dtype_of(code: str) -> torch.dtype:
    """A number format by the name that headers give it."""
    found: torch.dtype = getattr(torch, _NAMES[code])
    return found


@functools.cache
def _codes() -> dict[torch.dtype, str]:
    return {dtype_of(code): code for code in _NAMES}


def code_of(dtype: torch.dtype) -> str:
    """How headers spell a number format."""
    return _codes()[dtype]


@dataclass(frozen=True)
class TensorRange:
    """One stored tensor: what it is and which bytes of the file hold it."""

    name: str
    code: str
    """Dtype as the header spells it."""
    shape: tuple[int, ...]
    start: int
    """First byte, counted from the start of the file."""
    stop: int

    @property
    def dtype(self) -> torch.dtype:
        """Number format in torch's terms."""
        if self.code not in _NAMES:
            raise ArtifactError(
                f"tensor {self.name!r} has dtype {self.code}; readable: {', '.join(_NAMES)}"
            )
        return dtype_of(self.code)

    @property
    def bytes_count(self) -> int:
        """Length in bytes."""
        return self.stop - self.start


@dataclass(frozen=True)
class Entry:
    """One tensor to be written; ``chunks()`` yields its bytes in order."""

    name: str
    code: str
    shape: tuple[int, ...]
    bytes_count: int
    chunks: Callable[[], Iterator[memoryview | bytes]]


def read_header(path: Path) -> tuple[dict[str, TensorRange], dict[str, str]]:
    """Read which tensors a file holds.

    Returns:
        Name -> range, in file order, and the file's free metadata.

    Raises:
        ArtifactError: where the file is missing, truncated, or not safetensors.
    """
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; expected a safetensors file")
    size = path.stat().st_size
    with open(path, "rb") as handle:
        prefix = handle.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else -1
        if not 0 < length <= min(size - 8, _MAX_HEADER_BYTES):
            raise ArtifactError(f"{path} is no safetensors file, or is cut off ({size} bytes)")
        try:
            header: dict[str, Any] = json.loads(handle.read(length))
            metadata = header.pop("__metadata__", None) or {}
            base = 8 + length
            ranges = [
                TensorRange(
                    name,
                    item["dtype"],
                    tuple(item["shape"]),
                    base + item["data_offsets"][0],
                    base + item["data_offsets"][1],
                )
                for name, item in header.items()
            ]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise ArtifactError(f"{path} has a damaged safetensors header: {error}") from error
    ranges.sort(key=lambda item: item.start)
    end = max((item.stop for item in ranges), default=base)
    if end != size:
        raise ArtifactError(
            f"{path} is damaged: its header needs {end} bytes, the file has {size}; fetch it again"
        )
    return {item.name: item for item in ranges}, metadata


def read_tensor(path: Path, item: TensorRange) -> Tensor:
    """Read one tensor."""
    return _read(path, item, item.start, item.shape)


def map_tensor(path: Path, item: TensorRange) -> Tensor:
    """A tensor over the file's own pages, read-only: the system fetches what is looked at."""
    if not item.bytes_count:
        return torch.empty(item.shape, dtype=item.dtype)
    raw = np.memmap(path, np.uint8, "r", offset=item.start, shape=(item.bytes_count,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it cannot be written
        flat = torch.from_numpy(raw)
    return flat.view(item.dtype).reshape(item.shape)


def read_rows(path: Path, item: TensorRange, start: int, stop: int) -> Tensor:
    """Read rows ``start`` to ``stop`` (first dimension) of one tensor, and no other bytes."""
    if not item.shape or not 0 <= start <= stop <= item.shape[0]:
        raise IndexError(f"rows {start}:{stop} of {item.name!r} with shape {item.shape}")
    row_bytes = item.bytes_count // max(item.shape[0], 1)
    shape = (stop - start, *item.shape[1:])
    return _read(path, item, item.start + start * row_bytes, shape)


def _read(path: Path, item: TensorRange, offset: int, shape: tuple[int, ...]) -> Tensor:
    tensor = torch.empty(shape, dtype=item.dtype)
    if tensor.numel() == 0:
        return tensor
    view = _bytes_of(tensor)
    with open(path, "rb") as handle:
        handle.seek(offset)
        read = _read_into(handle, view)
    if read != len(view):
        raise ArtifactError(f"{path} ends inside tensor {item.name!r}; fetch the file again")
    return tensor


def _bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a contiguous CPU tensor, shared."""
    raw: Any = tensor.view(-1).view(torch.uint8).numpy()
    return memoryview(raw)


def _read_into(handle: BinaryIO, view: memoryview) -> int:
    """Fill ``view``; one call may return less than asked, above 2 GiB always."""
    done = 0
    while done < len(view):
        count = handle.readinto(view[done : done + (1 << 30)])  # type: ignore[attr-defined]
        if not count:
            break
        done += count
    return done


def tensor_entry(name: str, tensor: Tensor) -> Entry:
    """An entry that writes a tensor held in memory."""
    flat = tensor.detach().contiguous().cpu()

    def chunks() -> Iterator[memoryview | bytes]:
        yield _bytes_of(flat)

    return Entry(name, code_of(flat.dtype), tuple(flat.shape), flat.nbytes, chunks)


def copied_entry(path: Path, item: TensorRange, name: str | None = None) -> Entry:
    """An entry that copies the bytes of a stored tensor, undecoded."""

    def chunks() -> Iterator[memoryview | bytes]:
        buffer = memoryview(bytearray(min(COPY_BYTES, item.bytes_count)))
        with open(path, "rb") as handle:
            handle.seek(item.start)
            left = item.bytes_count
            while left:
                part = buffer[: min(left, len(buffer))]
                if _read_into(handle, part) != len(part):
                    raise ArtifactError(f"{path} ends inside tensor {item.name!r}")
                yield part
                left -= len(part)

    return Entry(name or item.name, item.code, item.shape, item.bytes_count, chunks)


def finite_entry(entry: Entry) -> Entry | None:
    """An entry that refuses to be written with NaN or infinity; ``None``: of another format."""
    if entry.code not in _INFINITY:
        return None
    infinity, unsigned, signed = _INFINITY[entry.code]
    negative = infinity | 1 << 8 * _BYTES[entry.code] - 1

    def chunks() -> Iterator[memoryview | bytes]:
        done = 0
        for chunk in entry.chunks():
            bits = np.frombuffer(chunk, unsigned)  # to compare integers needs no copy as floats
            if bits.view(signed).max() >= infinity or bits.max() >= negative:
                row = done * entry.shape[0] // entry.bytes_count
                raise ArtifactError(
                    f"{entry.name} would hold NaN or infinity, in row {row} or soon after; make "
                    "the table again"
                )
            done += len(chunk)
            yield chunk

    return replace(entry, chunks=chunks)


def computed_entry(
    name: str, shape: Sequence[int], dtype: torch.dtype, rows: Callable[[int, int], Tensor]
) -> Entry:
    """An entry whose rows are asked for in chunks: ``rows(start, stop)``, cast to ``dtype``."""
    count = 1
    for extent in shape:
        count *= extent
    total = count * dtype.itemsize
    step = max(1, CHUNK_BYTES // max(total // max(shape[0], 1), 1))

    def chunks() -> Iterator[memoryview | bytes]:
        for start in range(0, shape[0], step):
            part = rows(start, min(start + step, shape[0])).to(dtype).contiguous()
            yield _bytes_of(part)

    return Entry(name, code_of(dtype), tuple(shape), total, chunks)


def write_file(path: Path, entries: Iterable[Entry], metadata: dict[str, str]) -> None:
    """Write a safetensors file chunk by chunk.

    Wider dtypes come first, as in the reference implementation, so that every tensor is aligned.
    """
    ordered, text = encode_header(entries, metadata)
    with open(path, "wb") as handle:
        handle.write(struct.pack("<Q", len(text)))
        handle.write(text)
        for entry in ordered:
            written = sum(_write_sparsely(handle, chunk) for chunk in entry.chunks())
            if written != entry.bytes_count:
                raise ArtifactError(
                    f"wrote {written} bytes of tensor {entry.name!r} to {path}, "
                    f"expected {entry.bytes_count}"
                )
        handle.truncate()  # where the last chunks were zeros


def _write_sparsely(handle: BinaryIO, chunk: memoryview | bytes) -> int:
    """Write a chunk; where a long run of it is zeros, the file has a hole."""
    for at in range(0, len(chunk), len(_ZEROS)):
        piece = chunk[at : at + len(_ZEROS)]
        if _is_hole(piece):
            handle.seek(len(piece), os.SEEK_CUR)
        else:
            handle.write(piece)
    return len(chunk)


def _is_hole(piece: memoryview | bytes) -> bool:
    first = len(_ZEROS) // 64
    return bytes(piece[:first]) == _ZEROS[:first] and bytes(piece) == _ZEROS


def encode_header(entries: Iterable[Entry], metadata: dict[str, str]) -> tuple[list[Entry], bytes]:
    """The entries in the order in which they are written, and the JSON header's bytes."""
    ordered = sorted(entries, key=lambda entry: (-_width(entry), entry.name))
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    offset = 0
    for entry in ordered:
        header[entry.name] = {
            "dtype": entry.code,
            "shape": list(entry.shape),
            "data_offsets": [offset, offset + entry.bytes_count],
        }
        offset += entry.bytes_count
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return ordered, text + b" " * (-len(text) % 8)


def _width(entry: Entry) -> int:
    return _BYTES.get(entry.code, 1)
