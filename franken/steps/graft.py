"""Put SkillPacks on a model: as references, as a merged body, or with a vocabulary of their own."""

from typing import Any

import torch

from franken.config.steps import GraftStep, MergeMethod, TableGraft
from franken.errors import CompatibilityError
from franken.files import write_json
from franken.parts.body import save_body
from franken.parts.model import assemble
from franken.parts.skillpack import SkillPack, check_base
from franken.parts.surgery import put_table, take_table
from franken.parts.table import load_table, save_table
from franken.parts.weights import LoadedWeights
from franken.skillpack.language import graft_table
from franken.skillpack.merge import merged_tensors
from franken.steps.context import StepContext
from franken.steps.models import HERE, open_model, read_places, write_model
from franken.steps.pack import pack_facts


def run(step: GraftStep, context: StepContext) -> dict[str, Any]:
    """Plain sums of weight 1 are references to the packs; anything else is a body of its own.

    Raises:
        CompatibilityError: where a pack was made on another base.
    """
    receiver = context.inputs["model"]
    packs = {name: SkillPack(context.inputs[f"packs.{name}"].path / "pack") for name in step.packs}
    places = read_places(receiver)
    for name, pack in packs.items():
        if pack.manifest["lineage"] != places["lineage"]:
            raise CompatibilityError(
                f"step {context.name!r}: pack {name!r} belongs to the family of "
                f"{pack.manifest['lineage'][:12]}, the model to that of {places['lineage'][:12]}"
            )
    facts = {
        "packs": {name: pack_facts(pack) for name, pack in packs.items()},
        "weights": step.weights, "merge": str(step.merge),
    }  # fmt: skip
    write_json(context.directory / "graft.json", facts)
    if any(pack.manifest["vocab"] is not None for pack in packs.values()):
        _graft_language(step, context, packs)
        return facts
    plain = step.merge is MergeMethod.sum and all(v == 1.0 for v in step.weights.values())
    if plain and not step.materialise:
        for name, pack in packs.items():
            if pack.body != places["fingerprint"]:
                raise CompatibilityError(
                    f"step {context.name!r}: pack {name!r} was made on body {pack.body[:12]}, this "
                    f"is {places['fingerprint'][:12]}; set materialise to try it on a relative"
                )
        deltas = [_place(context, name) for name in packs]
        write_model(
            context, body=places["body"], table=places["table"],
            deltas=[*places["deltas"], *deltas], lineage=places["lineage"],
            fingerprint=places["fingerprint"],
        )  # fmt: skip
        return facts
    _merge(step, context, packs)
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
    parameters = dict(model.named_parameters())
    found = merged_tensors(
        weights, packs, step.weights, step.merge, density=step.density, seed=context.seed
    )
    with torch.no_grad():
        for name, tensor in found:
            parameters[name].copy_(tensor)
    _save(context, model, tokenizer, places["lineage"])


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
    weights, parameters = LoadedWeights(model), dict(model.named_parameters())
    with torch.no_grad():
        for tensor, item in pack.tensors.items():
            if tensor.startswith("vocab.") or item["form"] == "zero" or scale == 0:
                continue
            original, delta = weights.tensor(tensor), pack.delta(tensor)
            parameters[tensor].copy_((original.to(delta.dtype) + delta * scale).to(original.dtype))
    put_table(model, table, previous=tokenizer)
    _save(context, model, table.tokenizer, places["lineage"])


def _save(context: StepContext, model: Any, tokenizer: Any, lineage: str) -> None:
    fingerprint = save_body(model, context.directory / "body", tokenizer=tokenizer, lineage=lineage)
    save_table(take_table(model, tokenizer, lineage=lineage), context.directory / "table")
    write_model(
        context, body=[HERE, "", "body"], table=[HERE, "", "table"], deltas=[], lineage=lineage,
        fingerprint=fingerprint,
    )  # fmt: skip
