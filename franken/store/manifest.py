"""The manifest of an artefact: what it was made from, by what, and what it must hold."""

import functools
import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import franken
from franken.errors import ArtifactError
from franken.files import hash_json, write_json
from franken.store.digest import sha256_once
from franken.store.key import StepKey, canonical
from franken.store.tree import TreeFile, check_links, files_below

MANIFEST = "manifest.json"
SEAL = "manifest_sha256"
FORMAT = 1
LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "peft",
    "pytorch-lightning",
    "datasets",
    "numpy",
    "sentencepiece",
    "sacrebleu",
)


class ManifestFault(Exception):
    """A manifest that cannot be trusted: ``expected`` and ``found`` say why."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found


@functools.cache
def library_versions() -> dict[str, str]:
    """Versions of what can change a result, read from package metadata without an import."""
    from importlib import metadata  # a sixth of what taking a job of a grid imports

    versions = {"franken": franken.__version__}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def device_in_use() -> str:
    """The accelerator this process has used so far, else ``cpu``; imports nothing."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        return f"cuda: {cuda.get_device_name()}"
    return "cpu"


def write_manifest(
    directory: Path, step: StepKey, *, label: str, seconds: float, meta: dict[str, Any] | None
) -> dict[str, Any]:
    """Describe the files of ``directory`` in a sealed manifest, written last.

    Raises:
        ArtifactError: where the directory holds something that cannot be an artefact.
        ConfigError: where ``meta`` holds something that JSON cannot.
    """
    check_links(directory)
    notes = canonical(meta or {}, f"step {step.kind!r}: result", lenient=True)
    manifest = {
        "format": FORMAT,
        "kind": step.kind,
        "key": step.key,
        "label": label,
        "spec": step.spec,
        "versions": library_versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": notes.get("device") or device_in_use(),
        "seed": step.spec.get("seed"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "files": {file.name: _entry(file) for file in files_below(directory)},
        "meta": notes,
    }
    manifest[SEAL] = hash_json(manifest)
    write_json(directory / MANIFEST, manifest)
    return manifest


def _entry(file: TreeFile) -> dict[str, Any]:
    if file.name == MANIFEST:
        raise ArtifactError(f"a step wrote {file.path}; that name is the store's. Choose another.")
    try:
        file.name.encode()
    except UnicodeEncodeError:
        raise ArtifactError(
            f"a step wrote a file whose name is not UTF-8: {file.name!r}. Choose another name."
        ) from None
    entry: dict[str, Any] = {"size": file.size, "sha256": sha256_once(file.path)}
    if file.link is None:
        return entry
    entry["link"] = file.link
    if file.target is not None:
        entry["target"] = file.target
    return entry


def read_manifest(directory: Path) -> dict[str, Any]:
    """Read a manifest and check its seal.

    Raises:
        ManifestFault: where it is missing, no JSON, or not what was written.
    """
    try:
        payload = (directory / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ManifestFault("a manifest", "none") from None
    try:
        manifest = json.loads(payload)
    except ValueError as error:
        raise ManifestFault("JSON", f"{len(payload)} bytes that are not ({error})") from None
    if not isinstance(manifest, dict) or SEAL not in manifest:
        raise ManifestFault(f"a mapping sealed by {SEAL!r}", "something else")
    seal = manifest[SEAL]
    try:
        actual = hash_json({name: value for name, value in manifest.items() if name != SEAL})
    except ValueError as error:
        raise ManifestFault(f"sha256 {seal}", f"text that cannot be hashed ({error})") from None
    if seal != actual:
        raise ManifestFault(f"sha256 {seal}", f"sha256 {actual}")
    return manifest
