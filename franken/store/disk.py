"""What the disk refuses, said in words that help."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from franken.errors import ArtifactError, FrankenError
from franken.store.tree import own_bytes

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_DIRECTORY = {errno.ENOTDIR, errno.EEXIST}
_FULL_TEXTS = ("no space left on device", "os error 28", "disk quota exceeded")


@contextmanager
def disk_faults(doing: str, root: Path, work: Path | None = None) -> Iterator[None]:
    """Turn a full disk, and refused access inside the store, into an ``ArtifactError``.

    Args:
        doing: what was going on, as ``building 'base'``.
        root: directory of the store.
        work: the unfinished directory, to tell how much had been written.
    """
    try:
        yield
    except FrankenError:
        raise
    except Exception as error:
        message = _message(error, doing, root, work)
        if message is None:
            raise
        raise ArtifactError(message) from error


def _message(error: Exception, doing: str, root: Path, work: Path | None) -> str | None:
    if (cause := _full_disk(error)) is not None:
        written = f" after writing {megabytes(own_bytes(work))}" if work else ""
        return (
            f"{doing}: the disk is full{written} (at {_place(cause, work or root)}; "
            f"{_free(root)} free there). Nothing half-finished was kept and nothing finished was "
            f"lost. Free space, prune with `python -m franken.store --root {root} prune --damaged "
            "--scratch`, or set store.path to a larger disk, then run the same command again."
        )
    if not isinstance(error, OSError) or not _is_below(error, root):
        return None
    if error.errno in _FORBIDDEN:
        return (
            f"{doing}: the store {root} refuses access ({_place(error, root)}: "
            f"{error.strerror}). Check its owner and mode, or set store.path to a directory of "
            "your own, then run again."
        )
    if error.errno in _NO_DIRECTORY and not root.is_dir():
        return (
            f"{doing}: the store {root} is not a directory ({_place(error, root)}: "
            f"{error.strerror}). Set store.path to another place."
        )
    return None


def _full_disk(error: BaseException | None) -> BaseException | None:
    """The full disk behind an error; libraries written in Rust or C++ wrap it as text."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return error
        if any(text in str(error).lower() for text in _FULL_TEXTS):
            return error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def _place(error: BaseException, default: Path) -> str:
    return str(getattr(error, "filename", None) or default)


def _is_below(error: OSError, root: Path) -> bool:
    if error.filename is None:
        return False
    named = Path(str(error.filename)).absolute()
    place = root.absolute()
    return named == place or place in named.parents or named in place.parents


def _free(path: Path) -> str:
    while not path.exists() and path != path.parent:
        path = path.parent
    return megabytes(shutil.disk_usage(path).free)


def megabytes(size: int) -> str:
    """A byte count for people."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
