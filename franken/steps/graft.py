"""Put SkillPacks on a model: as references, as a merged body, or with a vocabulary of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import field
from enum import StrEnum
from typing import Any, ClassVar

from franken.config.checks import in_range
from franken.config.pack import MergeMethod
from franken.errors import CompatibilityError
from franken.files import write_json
from franken.lazy import later
from franken.steps.base import HERE, Part, Step, step

with later():
    import torch

    from franken.config.root import Config
    from franken.parts.body import save_body
    from franken.parts.model import assemble
    from franken.parts.skillpack import SkillPack, check_base
    from franken.parts.surgery import put_table, take_table
    from franken.parts.table import load_table, save_table
    from franken.parts.weights import LoadedWeights, named_weights
    from franken.skillpack.language import graft_table
    from franken.skillpack.merge import merged_tensors
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model, read_places, require_relatives, write_model
    from franken.steps.pack import pack_facts


class TableGraft(StrEnum):
    """What becomes of the table when a pack brings a vocabulary of its own."""

    relative = "relative"
    """``M E + R``: the receiver's own rows through the pack's token map, plus the residual."""
    absolute = "absolute"
    """``M E_B + R``: the rows of the model the pack was made from (Franken-Adapter's swap)."""


@step
class GraftStep(Step):
    """Put SkillPacks on a model."""

    inputs: ClassVar[dict[str, Part]] = {
        "model": Part.model, "packs": Part.pack, "base": Part.model,
    }  # fmt: skip
    model: str = ""
    packs: dict[str, str] = field(default_factory=lambda: {})
    """Name of a pack -> step that gives it."""
    weights: dict[str, float] = field(default_factory=lambda: {})
    """Name of a pack -> factor; 1 where none is given."""
    merge: MergeMethod = MergeMethod.sum
    density: float = 0.2
    """ties, dare: share of every pack's entries that is kept; sce: of the places where packs differ
    most; pcb: of every pack's entries that get a weight."""
    table: TableGraft = TableGraft.relative
    base: str | None = None
    """Needed by ``table: absolute``: the model that the pack was made on."""
    body_scale: float = 1.0
    """Language packs: factor of the change of the body; 0 grafts the vocabulary alone."""
    materialise: bool = False
    """Write the sum as a new body instead of referring to the packs; needed to train on it. Without
    packs the model's own adapters go into its body."""

    def references(self) -> dict[str, str]:
        """One reference per pack."""
        base = {} if self.base is None else {"base": self.base}
        return {"model": self.model, **base, **{f"packs.{k}": v for k, v in self.packs.items()}}

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.packs and not self.materialise:
            yield "packs", "names no pack; give at least one, e.g. {skill: packed}"
        for name, weight in self.weights.items():
            if name not in self.packs:
                yield f"weights.{name}", f"is no pack; packs: {', '.join(self.packs)}"
            if not math.isfinite(weight):
                yield f"weights.{name}", f"must be a finite number, got {weight}"
        if self.table is TableGraft.absolute and self.base is None:
            yield "base", "table=absolute needs the step that made the packs' base"
        yield from in_range("density", self.density, 0.0, 1.0)

    def key(self, config: Config) -> dict[str, Any]:
        """How packs are summed and what becomes of the table."""
        return {
            "packs": sorted(self.packs), "weights": self.weights, "merge": str(self.merge),
            "density": self.density, "table": str(self.table), "body_scale": self.body_scale,
            "materialise": self.materialise,
        }  # fmt: skip

    def run(self, context: StepContext) -> dict[str, Any]:
        """Plain sums of weight 1 are references to the packs; anything else is a body of its own.

        Raises:
            CompatibilityError: where a pack was made on another base.
        """
        receiver = context.inputs["model"]
        packs = {
            name: SkillPack(context.inputs[f"packs.{name}"].path / "pack") for name in self.packs
        }
        places = read_places(receiver)
        made_on = {f"pack {name!r}": pack.manifest["lineage"] for name, pack in packs.items()}
        lineages = {"the model": places["lineage"], **made_on}
        require_relatives(context, lineages, "a pack fits models of the base that it was made on")
        facts = {
            "packs": {name: pack_facts(pack) for name, pack in packs.items()},
            "weights": self.weights, "merge": str(self.merge),
        }  # fmt: skip
        write_json(context.directory / "graft.json", facts)
        if any(pack.manifest["vocab"] is not None for pack in packs.values()):
            _graft_language(self, context, packs)
            return facts
        plain = self.merge is MergeMethod.sum and all(v == 1.0 for v in self.weights.values())
        if plain and not self.materialise:
            for name, pack in packs.items():
                if pack.body != places["fingerprint"]:
                    raise CompatibilityError(
                        f"step {context.name!r}: pack {name!r} was made on body {pack.body[:12]}, "
                        f"this is {places['fingerprint'][:12]}; set materialise to try it on a "
                        "relative"
                    )
            deltas = [_place(context, name) for name in packs]
            write_model(
                context, body=places["body"], table=places["table"],
                deltas=[*places["deltas"], *deltas], lineage=places["lineage"],
                fingerprint=places["fingerprint"], head=_head(self, context),
            )  # fmt: skip
            return facts
        _merge(self, context, packs)
        return facts


def _place(context: StepContext, name: str) -> list[str]:
    artifact = context.inputs[f"packs.{name}"]
    return [artifact.kind, artifact.key, "pack"]


def _merge(step: GraftStep, context: StepContext, packs: dict[str, SkillPack]) -> None:
    places = read_places(context.inputs["model"])
    ref = open_model(context.inputs["model"], context.store)
    model, tokenizer = assemble(ref, merge=True)
    weights = LoadedWeights(model)
    for pack in packs.values():
        if pack.body == ref.fingerprint and not ref.deltas:
            check_base(pack, weights)
    parameters = named_weights(model)
    found = merged_tensors(
        weights, packs, step.weights, step.merge, density=step.density, seed=context.seed
    )
    with torch.no_grad():
        for name, tensor in found:
            parameters[name].copy_(tensor)
    _save(context, model, tokenizer, places["lineage"], head=_head(step, context))


def _head(step: GraftStep, context: StepContext) -> list[str] | None:
    """The head that a pack of a task brings with it.

    Raises:
        CompatibilityError: where several do.
    """
    found = {
        name: artifact for name in step.packs
        if ((artifact := context.inputs[f"packs.{name}"]).path / "head").is_dir()
    }  # fmt: skip
    if len(found) > 1:
        raise CompatibilityError(
            f"step {context.name!r}: the packs {', '.join(found)} each bring a head, and a model "
            "has one; graft them apart"
        )
    return next(([one.kind, one.key, "head"] for one in found.values()), None)


def _graft_language(step: GraftStep, context: StepContext, packs: dict[str, SkillPack]) -> None:
    if len(packs) > 1:
        raise CompatibilityError(
            f"step {context.name!r}: packs with vocabularies of their own cannot be added up; "
            f"graft one at a time (asked for {', '.join(packs)})"
        )
    ((name, pack),) = packs.items()
    places = read_places(context.inputs["model"])
    ref = open_model(context.inputs["model"], context.store)
    source = None
    if step.table is TableGraft.absolute:
        source = load_table(open_model(context.inputs["base"], context.store).table)
    table = graft_table(pack, load_table(ref.table), rows_of=source)
    model, tokenizer = assemble(ref, merge=True)
    scale = step.body_scale * step.weights.get(name, 1.0)
    weights, parameters = LoadedWeights(model), named_weights(model)
    with torch.no_grad():
        for tensor, item in pack.tensors.items():
            if tensor.startswith("vocab.") or item["form"] == "zero" or scale == 0:
                continue
            original, delta = weights.tensor(tensor), pack.delta(tensor)
            parameters[tensor].copy_((original.to(delta.dtype) + delta * scale).to(original.dtype))
    put_table(model, table, previous=tokenizer)
    _save(context, model, table.tokenizer, places["lineage"])


def _save(
    context: StepContext, model: Any, tokenizer: Any, lineage: str, *,
    head: list[str] | None = None,
) -> None:  # fmt: skip
    fingerprint = save_body(model, context.directory / "body", tokenizer=tokenizer, lineage=lineage)
    save_table(take_table(model, tokenizer, lineage=lineage), context.directory / "table")
    write_model(
        context, body=[HERE, "", "body"], table=[HERE, "", "table"], deltas=[], lineage=lineage,
        fingerprint=fingerprint, head=head,
    )  # fmt: skip
