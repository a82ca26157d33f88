"""Walking an artefact's directory: its files, and how those that are links are linked."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from franken.errors import ArtifactError

NOISE = (".DS_Store", ".nfs")
"""Beginnings of names that operating systems leave behind; they belong to nobody."""


@dataclass(frozen=True)
class TreeFile:
    """One file below a directory."""

    name: str
    """Path relative to the directory, with ``/``."""
    path: Path
    size: int
    link: str | None
    """``symlink`` (the file or a directory above it), ``hard``, or None."""
    target: str | None
    """Where a symlink leads, resolved, if that is outside the directory."""


def files_below(directory: Path) -> Iterator[TreeFile]:
    """All files below ``directory`` by name, through symlinks.

    Raises:
        ArtifactError: on a dangling or circular symlink, or anything that is no file or directory.
    """
    yield from _walk(directory, "", (os.path.realpath(directory),), linked=False)


def _walk(
    directory: Path, prefix: str, above: tuple[str, ...], *, linked: bool
) -> Iterator[TreeFile]:
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        if entry.name.startswith(NOISE):
            continue
        name, path = prefix + entry.name, Path(entry.path)
        is_link = linked or entry.is_symlink()
        try:
            status = entry.stat()
        except FileNotFoundError:
            raise ArtifactError(
                f"{path} is a symlink to {_where(path)}, which does not exist. Link to a file that "
                "stays, or copy it."
            ) from None
        except OSError as error:
            raise ArtifactError(f"{path} cannot be followed: {error.strerror}.") from error
        if stat.S_ISDIR(status.st_mode):
            real = os.path.realpath(path)
            if real in above:
                raise ArtifactError(f"{path} is a symlink to a directory that holds it: a circle.")
            yield from _walk(path, f"{name}/", (*above, real), linked=is_link)
        elif stat.S_ISREG(status.st_mode):
            link = "symlink" if is_link else "hard" if status.st_nlink > 1 else None
            target = _outside(path, above[0]) if is_link else None
            yield TreeFile(name, path, status.st_size, link, target)
        else:
            raise ArtifactError(f"{path} is neither a file nor a directory; remove it.")


def _outside(path: Path, top: str) -> str | None:
    """Where ``path`` leads, unless that is below ``top``."""
    real = os.path.realpath(path)
    return None if real.startswith(top + os.sep) else real


def check_links(directory: Path) -> None:
    """Refuse symlinks that name ``directory`` itself, which is about to be renamed.

    Raises:
        ArtifactError: naming the link.
    """
    for folder, folders, names in os.walk(directory):
        for path in (Path(folder, name) for name in folders + names):
            if path.is_symlink() and directory.name in Path(os.readlink(path)).parts:
                raise ArtifactError(
                    f"{path} is a symlink by full path into its own artefact, which is about to be "
                    "renamed. Link relatively to the file beside it."
                )


def _where(path: Path) -> str:
    try:
        return repr(os.readlink(path))
    except OSError:
        return "somewhere"


def own_bytes(directory: Path) -> int:
    """Bytes of the files below ``directory`` that deleting it would free; 0 where it is gone."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                status = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                total += status.st_size
    return total


def sync(path: Path) -> None:
    """Have the file system write a file or directory down."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_below(directory: Path) -> None:
    """Write down all files and directories below ``directory``, symlinks not followed."""
    for folder, _, names in os.walk(directory, topdown=False):
        for name in names:
            path = Path(folder, name)
            if stat.S_ISREG(os.lstat(path).st_mode):  # opening a FIFO would wait for ever
                sync(path)
        sync(Path(folder))
