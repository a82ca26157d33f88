"""SkillPacks on disk: ``delta.json`` and ``pack.safetensors``; see docs/skillpack.md.

A SkillPack is a delta: named, verified, compressed, reversible. The manifest says per tensor which
form it has; the file holds one run of bytes per tensor, read when asked for.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from franken.errors import ArtifactError, CompatibilityError
from franken.files import hash_json, new_directory, sha256_file, write_atomically
from franken.parts import safetensors_file
from franken.parts.description import read_described
from franken.parts.forms import Form, decode_form, encoded_bytes, form_bytes
from franken.parts.safetensors_file import Entry, TensorRange
from franken.parts.weights import Weights, tensor_digest

KIND = "skillpack"
SCHEMA = 3
"""1 had the bare name of a language pack's policy; 2 no hash of the manifest."""
SEAL = "manifest_sha256"
MANIFEST_FILE = "delta.json"
PAYLOAD_FILE = "pack.safetensors"
_METADATA = {"format": "franken skillpack"}


class SkillPack:
    """A pack that is open: its manifest is in memory, its payload on disk."""

    def __init__(self, directory: Path, *, verify: bool = True) -> None:
        """Read manifest and header; check both against each other.

        Args:
            directory: as written by ``write_pack``.
            verify: also check the payload's sha256.

        Raises:
            ArtifactError: where a file is missing, damaged, cut off, or of another version.
        """
        self.directory = Path(directory)
        self.manifest = read_manifest(self.directory)
        self.payload = self.directory / PAYLOAD_FILE
        self._ranges, _ = safetensors_file.read_header(self.payload)
        with _described(self.directory / MANIFEST_FILE):
            self._check_layout()
        for file, expected in self.manifest["sha256"].items() if verify else ():
            path = self.directory / file
            if not path.is_file():
                raise ArtifactError(f"{path} is missing from the pack; pack again")
            if sha256_file(path) != expected:
                raise ArtifactError(
                    f"{path} is damaged: its sha256 is not the one in {MANIFEST_FILE}; pack again"
                )

    @property
    def name(self) -> str:
        """What the pack is called."""
        return str(self.manifest["name"])

    @property
    def body(self) -> str:
        """Fingerprint of the body it was made on."""
        return str(self.manifest["body"])

    @property
    def tensors(self) -> dict[str, dict[str, Any]]:
        """Parameter -> its description: form, class, operator, errors, bytes."""
        found: dict[str, dict[str, Any]] = self.manifest["tensors"]
        return found

    @property
    def bytes_count(self) -> int:
        """Bytes of all files on disk, the manifest included."""
        files = (MANIFEST_FILE, *self.manifest["sha256"])
        return sum((self.directory / file).stat().st_size for file in files)

    def names(self) -> list[str]:
        """Parameters that the pack changes or knows to be unchanged, sorted; skipped ones apart."""
        return sorted(self.tensors)

    def form(self, name: str) -> Form:
        """Read one tensor's change, still compressed."""
        payload = torch.empty(0, dtype=torch.uint8)
        if name in self._ranges:
            payload = safetensors_file.read_tensor(self.payload, self._ranges[name])
        with _described(self.directory / MANIFEST_FILE):
            return decode_form(self.tensors[name], payload)

    def delta(self, name: str) -> Tensor:
        """Read and decode one tensor's change, at least float32."""
        return self.form(name).decode()

    def _check_layout(self) -> None:
        if PAYLOAD_FILE not in self.manifest["sha256"]:
            raise ArtifactError(
                f"{self.directory / MANIFEST_FILE} is damaged: it holds no sha256 of "
                f"{PAYLOAD_FILE}; pack again"
            )
        expected = {name: form_bytes(item) for name, item in self.tensors.items()}
        expected = {name: count for name, count in expected.items() if count}
        found = {name: item.bytes_count for name, item in self._ranges.items()}
        if found != expected:
            wrong = sorted(
                name
                for name in expected.keys() | found.keys()
                if expected.get(name) != found.get(name)
            )
            raise ArtifactError(
                f"{self.payload} does not hold what {MANIFEST_FILE} describes: {wrong[0]!r} takes "
                f"{found.get(wrong[0], 0)} bytes, expected {expected.get(wrong[0], 0)} "
                f"({len(wrong)} such); pack again"
            )


@contextmanager
def _described(path: Path) -> Iterator[None]:
    """Turns what a description with missing or wrong entries causes into an ArtifactError."""
    try:
        yield
    except ArtifactError as error:
        if str(path.parent) in str(error):
            raise
        raise ArtifactError(f"{path}: {error}; pack again") from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ArtifactError(
            f"{path} is damaged: an entry is missing or has a wrong value "
            f"({type(error).__name__}: {error}); pack again"
        ) from error


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest with the hash over all its other entries."""
    content = {key: value for key, value in manifest.items() if key != SEAL}
    return {**content, SEAL: hash_json(content)}


def read_manifest(directory: Path) -> dict[str, Any]:
    """Read and check ``delta.json`` of a pack.

    Raises:
        ArtifactError: where it is missing, damaged, of another kind or of another version.
    """
    path = Path(directory) / MANIFEST_FILE
    manifest = read_described(path, "SkillPack", {KIND: SCHEMA}, again="pack again")
    missing = {"name", "body", "base", "tensors", "skipped", "size", "sha256", "vocab", SEAL}
    missing -= set(manifest)
    if missing:
        raise ArtifactError(f"{path} is damaged: it lacks {min(missing)!r}; pack again")
    if sealed(manifest)[SEAL] != manifest[SEAL]:
        raise ArtifactError(f"{path} is damaged: its {SEAL} is not that of its content; pack again")
    return manifest


@dataclass(frozen=True)
class _Spooled:
    """Payload bytes of one tensor in the spool file."""

    start: int
    length: int


class PackWriter:
    """Writes a pack tensor by tensor in the memory of one; published whole or not at all.

    Used as a context manager: payloads go to a spool inside a scratch directory beside the target,
    which is renamed into place when the block ends without an error. The order of ``add`` does not
    change a byte.
    """

    def __init__(self, directory: Path, **facts: Any) -> None:
        """Prepare.

        Args:
            directory: the pack; must not exist.
            facts: entries of the manifest: name, body, base, policy, lineage, ...
        """
        self.directory = Path(directory)
        self.facts = facts
        self.tensors: dict[str, dict[str, Any]] = {}
        self.skipped: list[str] = []
        self._spooled: dict[str, _Spooled] = {}

    def __enter__(self) -> "PackWriter":
        self._scope = new_directory(self.directory)
        self._scratch = self._scope.__enter__()
        self._spool = self._scratch / "spool"
        self._handle = open(self._spool, "wb")
        return self

    def add(self, name: str, form: Form, **facts: Any) -> None:
        """Store one tensor's change with what is known about it."""
        payload = encoded_bytes(form)
        if payload.numel():
            self._spooled[name] = _Spooled(self._handle.tell(), payload.numel())
            raw: Any = payload.numpy()
            self._handle.write(memoryview(raw))
        self.tensors[name] = {**form.describe(), **facts, "bytes": payload.numel()}

    def beside(self, name: str) -> Path:
        """A directory of the pack for what belongs to it, such as a tokenizer; hashed too."""
        place = self._scratch / name
        place.mkdir()
        return place

    def skip(self, name: str) -> None:
        """Note a tensor whose change is left out on purpose."""
        self.skipped.append(name)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._handle.close()
        if kind is None:
            try:
                self._finish()
            except BaseException as failure:
                self._scope.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self._scope.__exit__(kind, error, trace)

    def _finish(self) -> None:
        entries = [
            Entry(name, "U8", (place.length,), place.length, self._chunks(place))
            for name, place in self._spooled.items()
        ]
        payload = self._scratch / PAYLOAD_FILE
        safetensors_file.write_file(payload, entries, _METADATA)
        _, header = safetensors_file.encode_header(entries, _METADATA)
        self._spool.unlink()
        stored = sum(place.length for place in self._spooled.values())
        size = {
            "bytes": 8 + len(header) + stored, "header": 8 + len(header), "payload": stored,
        }  # fmt: skip
        size |= self.facts.pop("size", {})
        manifest = {
            "kind": KIND, "schema": SCHEMA, **self.facts, "tensors": self.tensors,
            "skipped": sorted(self.skipped), "size": size,
            "sha256": {
                file.relative_to(self._scratch).as_posix(): sha256_file(file)
                for file in sorted(self._scratch.rglob("*")) if file.is_file()
            },
        }  # fmt: skip
        text = json.dumps(
            sealed(manifest), sort_keys=True, ensure_ascii=False, separators=(",", ":"),
            allow_nan=False,
        )  # fmt: skip
        write_atomically(self._scratch / MANIFEST_FILE, (text + "\n").encode())

    def _chunks(self, place: _Spooled) -> Any:
        spooled = TensorRange("", "U8", (place.length,), place.start, place.start + place.length)

        def chunks() -> Iterator[memoryview | bytes]:
            yield from safetensors_file.copied_entry(self._spool, spooled).chunks()

        return chunks


def check_base(
    pack: SkillPack, weights: Weights, *, names: list[str] | None = None, narrower: bool = False
) -> None:
    """Refuse a model that is not the one the pack was made on, bit for bit.

    Args:
        pack: its manifest holds a digest of every base tensor.
        weights: the model, as stored or as loaded.
        names: look at these only; default: all but the rows of a vocabulary of the pack's own.
        narrower: take tensors that were loaded in a narrower format than the base was stored in,
            where they are the base's rounded to it.

    Raises:
        CompatibilityError: names the first tensor that is missing or differs.
    """
    known = set(weights.names())
    for name in names or [name for name in pack.names() if pack.tensors[name]["base"]]:
        if name not in known:
            raise CompatibilityError(
                f"pack {pack.name!r} changes {name!r}, which the model does not have; it was made "
                f"for a {pack.manifest['base'].get('family')} model"
            )
        item = pack.tensors[name]
        if tuple(item["shape"]) != weights.shape(name):
            raise CompatibilityError(
                f"pack {pack.name!r}: {name!r} has shape {tuple(item['shape'])}, the model's has "
                f"{weights.shape(name)}; it was made for another base"
            )
        stored = getattr(torch, str(item["base"]).partition(":")[0])
        loaded, expected = weights.dtype(name), item["base"]
        if stored.itemsize > loaded.itemsize:
            code = str(loaded).removeprefix("torch.")
            if not narrower or code not in item.get("narrow", {}):
                raise CompatibilityError(
                    f"pack {pack.name!r} was made on {name!r} in {stored}, the model holds it in "
                    f"{loaded}; load the model as it is stored"
                )
            stored, expected = loaded, f"{code}:{item['narrow'][code]}"
        if tensor_digest(weights, name, stored) != expected:
            raise CompatibilityError(
                f"pack {pack.name!r} was made on another base: {name!r} differs from the tensor it "
                f"was taken against ({expected}). Apply it to its own base, or force it on a "
                "relative and measure what is lost"
            )
