"""Comparing an artefact with its manifest."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from franken.errors import ArtifactError
from franken.store.digest import sha256_once
from franken.store.key import key_of_spec
from franken.store.manifest import MANIFEST, ManifestFault, read_manifest
from franken.store.tree import files_below


@dataclass(frozen=True)
class Fault:
    """One thing in an artefact that is not as it was published."""

    file: Path
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.file}: expected {self.expected}, found {self.found}"


def inspect(directory: Path, *, contents: bool = True) -> tuple[dict[str, Any] | None, list[Fault]]:
    """Read an artefact's manifest and compare the directory with it.

    Args:
        directory: ``<root>/<kind>/<key>``.
        contents: whether to compare sha256 too; presence and sizes always are.

    Returns:
        The manifest (None where it cannot be trusted) and all faults.

    Raises:
        OSError: where a file that is there cannot be read: that is no damage.
    """
    try:
        manifest = read_manifest(directory)
    except ManifestFault as fault:
        return None, [Fault(directory / MANIFEST, fault.expected, fault.found)]
    owner = f"{manifest['kind']}/{manifest['key']}"
    if (directory.parent.name, directory.name) != (manifest["kind"], manifest["key"]):
        place = f"{directory.parent.name}/{directory.name}"
        return None, [Fault(directory / MANIFEST, f"the artefact {place}", owner)]
    if key_of_spec(manifest["spec"]) != manifest["key"]:
        found = key_of_spec(manifest["spec"])
        return None, [Fault(directory / MANIFEST, f"a spec of key {manifest['key']}", found)]
    return manifest, list(_file_faults(directory, manifest["files"], contents=contents))


def _file_faults(directory: Path, listed: dict[str, Any], *, contents: bool) -> Iterator[Fault]:
    for name, entry in sorted(listed.items()):
        path = directory / name
        try:
            size = path.stat().st_size
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            yield Fault(path, f"{entry['size']} bytes", "no such file")
            continue
        if size != entry["size"]:
            yield Fault(path, f"{entry['size']} bytes", f"{size} bytes")
        elif contents and (digest := sha256_once(path)) != entry["sha256"]:
            yield Fault(path, f"sha256 {entry['sha256']}", f"sha256 {digest}")
    try:
        for file in files_below(directory):
            if file.name not in listed and file.name != MANIFEST:
                yield Fault(file.path, "nothing", f"a file of {file.size} bytes that is not listed")
    except ArtifactError as error:
        if all((directory / name).exists() for name in listed):
            yield Fault(directory, "files and directories", str(error))
