"""Packs decoded again, and compared."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from franken.errors import ArtifactError, CompatibilityError
from franken.parts import safetensors_file
from franken.parts.safetensors_file import Entry
from franken.parts.skillpack import SkillPack


def unpack_to_file(pack: SkillPack, path: Path) -> None:
    """Write every decoded change in float32, one tensor in memory at a time.

    Raises:
        ArtifactError: where the file exists.
    """
    if path.exists():
        raise ArtifactError(f"{path} exists already; name a new file")

    def entry(name: str) -> Entry:
        shape = tuple(pack.tensors[name]["shape"])
        count = 4
        for extent in shape:
            count *= extent

        def chunks() -> Iterator[memoryview | bytes]:
            yield from safetensors_file.tensor_entry(name, pack.delta(name).float()).chunks()

        return Entry(name, "F32", shape, count, chunks)

    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        safetensors_file.write_file(scratch, [entry(n) for n in pack.names()], {"format": "pt"})
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


@dataclass(frozen=True)
class Comparison:
    """One tensor in two packs."""

    name: str
    distance: float
    """``||a - b|| / max(||a||, ||b||)``"""
    cosine: float
    bytes_first: int
    bytes_second: int


def compare(first: SkillPack, second: SkillPack) -> list[Comparison]:
    """Compare decoded changes tensor by tensor; one that a pack lacks counts as zero.

    Raises:
        CompatibilityError: where the packs were made on different bodies, or over different
            vocabularies.
    """
    if first.body != second.body:
        raise CompatibilityError(
            f"{first.name!r} was made on body {first.body[:12]}, {second.name!r} on "
            f"{second.body[:12]}; only packs of one base can be compared"
        )
    rows = []
    for name in sorted({*first.names(), *second.names()}):
        found = [pack.delta(name).double() for pack in (first, second) if name in pack.tensors]
        if len({tuple(delta.shape) for delta in found}) > 1:
            raise CompatibilityError(
                f"{name!r} has shape {tuple(found[0].shape)} in {first.name!r} and "
                f"{tuple(found[1].shape)} in {second.name!r}; such packs cannot be compared"
            )
        a, b = found if len(found) == 2 else (found[0], torch.zeros_like(found[0]))
        norms = float(a.norm()), float(b.norm())
        largest = max(norms)
        product = norms[0] * norms[1]
        rows.append(
            Comparison(
                name,
                float((a - b).norm()) / largest if largest else 0.0,
                float((a * b).sum()) / product if product else float(norms[0] == norms[1]),
                first.tensors.get(name, {}).get("bytes", 0),
                second.tensors.get(name, {}).get("bytes", 0),
            )
        )
    return rows
