"""Files and directories written whole or not at all, and hashes of what files hold."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from franken.errors import ArtifactError


def write_atomically(path: Path, payload: bytes) -> None:
    """Leave ``path`` holding either its old content or all of ``payload``, never a mixture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(scratch, "xb") as handle:
            handle.write(payload)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON with sorted keys, atomically."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    write_atomically(path, (text + "\n").encode())


@contextlib.contextmanager
def new_directory(target: Path) -> Iterator[Path]:
    """A scratch directory beside ``target`` that takes its name on success, else disappears."""
    check_new_directory(target)
    target = target.absolute()
    scratch = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        scratch.mkdir(parents=True)
    except OSError as error:
        raise ArtifactError(
            f"{target} cannot be made: {error.strerror or error}; name a place that can be written"
        ) from error
    try:
        yield scratch
        os.replace(scratch, target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def check_new_directory(target: Path) -> None:
    """Refuse a place that cannot become a new directory; called before the work, too.

    Raises:
        ArtifactError: where it exists and is not empty, or its parent cannot be written.
    """
    target = target.absolute()
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ArtifactError(f"{target} exists already; name a new directory")
        above = next(place for place in target.parents if place.exists())
    except OSError as error:
        raise ArtifactError(f"{target} cannot be made: {error.strerror or error}") from error
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        raise ArtifactError(
            f"{target} cannot be made: {above} cannot be written; name a place that can be"
        )


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_bytes())


COPY_BYTES = 1 << 18
"""What one call reads or writes. Fits the processor's cache; where calls of megabytes are written,
Linux looks for large runs of free pages, for three to six times the processor time."""


_SYSTEM_BYTES = 4 << 20


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's content; what is a hole in it (never written, reads as zeros) stays one."""
    buffer = memoryview(bytearray(COPY_BYTES))
    with open(source, "rb", buffering=0) as read, open(target, "wb", buffering=0) as written:
        size = os.fstat(read.fileno()).st_size
        for start, stop in _written_ranges(read.fileno(), size):
            start = _copied_by_system(read.fileno(), written.fileno(), start, stop)
            read.seek(start)
            written.seek(start)
            while start < stop and (count := read.readinto(buffer[: stop - start])):
                start += count
                part = buffer[:count]
                while part:
                    part = part[written.write(part) :]
        written.truncate(size)


def _copied_by_system(source: int, target: int, start: int, stop: int) -> int:
    """Copy a range without bringing it into the process; returns how far the system got."""
    with contextlib.suppress(AttributeError, OSError):  # not on Linux, or not between these disks
        while start < stop:
            step = min(_SYSTEM_BYTES, stop - start)
            count = os.copy_file_range(source, target, step, start, start)
            if not count:
                break
            start += count
    return start


def _written_ranges(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Ranges of a file that are no holes; all of it where the system does not tell."""
    at = 0
    while at < size:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
            stop = os.lseek(file, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole follows
                return
            start, stop = at, size
        except AttributeError:  # not on Windows
            start, stop = at, size
        yield start, stop
        at = stop


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name; a copy where the file system has no links, or is another one."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        copy_file(source, target)


_FICLONE = 0x40049409  # linux/fs.h


def clone_or_copy(source: Path, target: Path) -> None:
    """Copy a file; where the file system can (btrfs, XFS), blocks are shared until one is written.

    Unlike a link, the copy does not follow later changes of the source.
    """
    try:
        import fcntl  # not on Windows

        with open(source, "rb") as read, open(target, "wb") as written:
            fcntl.ioctl(written.fileno(), _FICLONE, read.fileno())
    except (OSError, ImportError):
        copy_file(source, target)


def place_tree(source: Path, target: Path, *, large_bytes: int = 1 << 20) -> None:
    """Give a directory of finished files a second place, whatever stood there before.

    Small files are copied. Large ones are linked where the file system can, and are then read-only
    in both places: programs that write a new file in their stead (``save_pretrained``) leave the
    source as it is.
    """
    scratch = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        for file in sorted(source.rglob("*")):
            twin = scratch / file.relative_to(source)
            if file.is_dir():
                twin.mkdir(parents=True, exist_ok=True)
                continue
            twin.parent.mkdir(parents=True, exist_ok=True)
            if file.stat().st_size < large_bytes:
                shutil.copyfile(file, twin)
                continue
            link_or_copy(file, twin)
            if twin.samefile(file):
                twin.chmod(0o444)
        if target.exists():
            shutil.rmtree(target)
        os.replace(scratch, target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file, read in blocks."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """What nested mappings hold, by dotted names; lists, and empty mappings inside, are whole."""
    if isinstance(value, Mapping) and (value or not name):
        for part, item in value.items():
            yield from leaves(item, f"{name}.{part}" if name else part)
    else:
        yield name, value


def hash_json(value: Any) -> str:
    """Hex sha256 of the canonical JSON form: sorted keys, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sampled_hash(path: Path, *, blocks: int = 64, block_bytes: int = 65536) -> str:
    """Hex sha256 of a file's size and of evenly spread blocks; whole files up to 4 MiB.

    Tells checkpoints apart without reading tens of gigabytes; it is no proof against tampering.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as handle:
        if size <= blocks * block_bytes:
            digest.update(handle.read())
        else:
            step = (size - block_bytes) // (blocks - 1)
            for index in range(blocks):
                handle.seek(index * step)
                digest.update(handle.read(block_bytes))
    return digest.hexdigest()
