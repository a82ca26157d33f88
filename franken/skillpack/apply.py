"""Packs put into a checkpoint on disk, streamed; the result needs no franken to load."""

import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from franken.errors import CompatibilityError, ConfigError
from franken.files import new_directory
from franken.parts import safetensors_file
from franken.parts.checkpoint import Checkpoint
from franken.parts.safetensors_file import Entry
from franken.parts.skillpack import SkillPack, check_base
from franken.parts.weights import BLOCK_BYTES, StoredWeights, Weights
from franken.skillpack.changes import is_large, row_decoder


def apply_to_checkpoint(
    base: Path,
    packs: Sequence[SkillPack],
    directory: Path,
    *,
    weights: Sequence[float] | None = None,
    check: bool = True,
) -> None:
    """Write ``cast(W + sum_p weight_p delta_p)`` for every tensor, shard by shard.

    Memory is that of one tensor; whatever else lies beside the weights is copied.

    Args:
        base: a checkpoint in transformers layout.
        packs: made on it.
        directory: where to; must not exist.
        weights: a factor per pack; default 1.
        check: compare the base's tensors with the digests in the packs.

    Raises:
        CompatibilityError: where a pack belongs to another base, or brings a vocabulary; nothing is
            left behind.
        ConfigError: where a weight is NaN or infinite.
    """
    factors = list(weights) if weights is not None else [1.0] * len(packs)
    if len(factors) != len(packs):
        raise CompatibilityError(f"{len(packs)} packs, but {len(factors)} weights")
    if not all(map(math.isfinite, factors)):
        raise ConfigError(f"weights of packs must be finite numbers, got {factors}")
    checkpoint = Checkpoint(base)
    stored = StoredWeights.of_checkpoint(base)
    for pack in packs:
        if pack.manifest["vocab"] is not None:
            raise CompatibilityError(
                f"pack {pack.name!r} brings a vocabulary of its own, which changes more than "
                "weights; graft it in a recipe (recipe=language_pack)"
            )
        if check:
            check_base(pack, stored)
        else:
            _check_shapes(pack, stored)
    order = sorted(zip(packs, factors, strict=True), key=lambda item: item[0].name)
    spelled = {_spelling(checkpoint, stored, name): name for name in stored.names()}
    with new_directory(Path(directory)) as scratch:
        for path, names in checkpoint.shards().items():
            entries = [_entry(checkpoint, stored, name, spelled.get(name), order) for name in names]
            safetensors_file.write_file(scratch / path.name, entries, checkpoint.metadata)
        for file in Path(base).iterdir():
            if file.is_file() and file.suffix != ".safetensors":
                shutil.copyfile(file, scratch / file.name)


def grafted(weights: Weights, name: str, packs: Sequence[tuple[SkillPack, float]]) -> Tensor | None:
    """One tensor with the packs' changes, in its own format; ``None`` where none changes it."""
    found = list(grafted_blocks(weights, name, packs))
    if len(found) <= 1:
        return found[0] if found else None
    return torch.cat(found)


def grafted_blocks(
    weights: Weights, name: str, packs: Sequence[tuple[SkillPack, float]]
) -> Iterator[Tensor]:
    """The same in blocks of rows: one for a tensor of ordinary size, none where nothing changes."""
    forms = [
        (pack.form(name), factor) for pack, factor in packs
        if pack.tensors.get(name, {"form": "zero"})["form"] != "zero"
    ]  # fmt: skip
    if not forms:
        return
    shape = weights.shape(name)
    if not shape:
        yield _sum(weights.tensor(name), [(form.decode(), factor) for form, factor in forms])
        return
    acting = [(row_decoder(form), factor) for form, factor in forms]
    step = max(1, BLOCK_BYTES * shape[0] // max(1, 4 * math.prod(shape)))
    step = step if is_large(shape) else max(1, shape[0])
    for start in range(0, shape[0], step):
        stop = min(start + step, shape[0])
        changes = ((decode(start, stop), factor) for decode, factor in acting)
        yield _sum(weights.rows(name, start, stop), changes)


def _sum(original: Tensor, changes: Iterable[tuple[Tensor, float]]) -> Tensor:
    """``original + sum factor * change`` in float32, cast back."""
    total = original.to(torch.promote_types(original.dtype, torch.float32))
    for delta, factor in changes:
        total = total + (delta if factor == 1.0 else delta * factor)
    return total.to(original.dtype)


def _check_shapes(pack: SkillPack, stored: StoredWeights) -> None:
    known = set(stored.names())
    for name, item in pack.tensors.items():
        found = stored.shape(name) if name in known else None
        if found != tuple(item["shape"]):
            raise CompatibilityError(
                f"pack {pack.name!r} changes {name!r} of shape {tuple(item['shape'])}; the "
                f"checkpoint has {found or 'no such tensor'}: it is no relative of the pack's base"
            )


def _entry(
    checkpoint: Checkpoint,
    stored: StoredWeights,
    name: str,
    canonical: str | None,
    packs: Sequence[tuple[SkillPack, float]],
) -> Entry:
    source = safetensors_file.copied_entry(checkpoint.shard_of(name), checkpoint.range(name))
    if canonical is None or all(
        pack.tensors.get(canonical, {"form": "zero"})["form"] == "zero" for pack, _ in packs
    ):
        return source

    def chunks() -> Iterator[memoryview | bytes]:
        for changed in grafted_blocks(stored, canonical, packs):
            yield from safetensors_file.tensor_entry(name, changed).chunks()

    return Entry(name, source.code, source.shape, source.bytes_count, chunks)


def _spelling(checkpoint: Checkpoint, stored: StoredWeights, name: str) -> str:
    """How the files call a tensor."""
    if name in checkpoint:
        return name
    bare = name.removeprefix(f"{stored.anatomy.backbone}.")
    found = checkpoint.stored_name(name) or (bare if bare in checkpoint else None)
    if found is None and stored.tied:
        found = checkpoint.stored_name(stored.anatomy.output_head)
    return found or name
