"""One model with several SkillPacks and a router; the router is trained here if it is to be."""

from dataclasses import asdict
from itertools import islice
from typing import Any

from franken.config.router import TrainedRouter
from franken.config.steps import RouteStep
from franken.data import open_data
from franken.data.encoding import RecordEncoder
from franken.data.source import DataSource, Instruction
from franken.errors import CompatibilityError
from franken.files import read_json, write_json
from franken.parts.model import assemble
from franken.parts.skillpack import SkillPack
from franken.skillpack.experts import Experts
from franken.skillpack.router import PackRouter, train_router
from franken.steps.context import StepContext
from franken.steps.models import open_model, read_places, write_model
from franken.steps.pack import pack_facts
from franken.store import Artifact, Store

ROUTING_FILE = "graft_routing.json"


def run(step: RouteStep, context: StepContext) -> dict[str, Any]:
    """Writes the model's references, ``graft_routing.json`` and the trained router.

    Raises:
        CompatibilityError: where a pack was made on another body, or brings a vocabulary.
    """
    places = read_places(context.inputs["model"])
    packs = {name: SkillPack(context.inputs[f"packs.{name}"].path / "pack") for name in step.packs}
    for name, pack in packs.items():
        if pack.body != places["fingerprint"] or pack.manifest["vocab"] is not None:
            raise CompatibilityError(
                f"step {context.name!r}: pack {name!r} was made on body {pack.body[:12]}, or "
                f"brings a vocabulary; a router chooses among packs of {places['fingerprint'][:12]}"
            )
    sources = {name: context.inputs[f"packs.{name}"] for name in step.packs}
    for artifact in sources.values():
        context.references.append([artifact.kind, artifact.key])
    facts: dict[str, Any] = {
        "packs": {name: pack_facts(pack) for name, pack in packs.items()},
    }
    kind = "oracle" if step.by_task else step.router.name
    if not step.by_task and isinstance(step.router, TrainedRouter):
        kind = "trained"
        facts["router"] = _train(step, step.router, context, packs)
    write_json(
        context.directory / ROUTING_FILE,
        {
            "packs": {n: [a.kind, a.key, "pack"] for n, a in sources.items()},
            "kind": kind,
            "tasks": step.tasks,
        },
    )
    write_json(context.directory / "graft.json", facts)
    write_model(
        context, body=places["body"], table=places["table"], deltas=places["deltas"],
        lineage=places["lineage"], fingerprint=places["fingerprint"],
    )  # fmt: skip
    return facts


def _train(
    step: RouteStep, config: TrainedRouter, context: StepContext, packs: dict[str, SkillPack]
) -> dict[str, Any]:
    device = context.device
    model, tokenizer = assemble(open_model(context.inputs["model"], context.store), device=device)
    assert step.data is not None
    examples = router_examples(step, config, open_data(step.data), RecordEncoder(tokenizer))
    experts = Experts(model, packs)
    router, report = train_router(experts, examples, config, seed=context.seed, device=device)
    router.save(context.directory / "router")
    return asdict(report)


def router_examples(
    step: RouteStep, config: TrainedRouter, data: DataSource, encoder: RecordEncoder
) -> list[tuple[list[int], int]]:
    """What a router is trained on: token ids, and how many of them it sees.

    Instructions of the split, of which it sees the prompt, and ``language_share`` of texts: of the
    source language, which the base answers best and no pack is to take over, and of the targets.
    """
    assert step.data is not None
    wanted = step.data.mixtures[step.split].tasks
    texts = round(config.examples * step.language_share)
    asked: list[Instruction | str] = list(
        islice(
            (r for r in data.instructions() if wanted is None or r.task in wanted),
            config.examples - texts,
        )
    )
    records = [item for item in encoder.encode(asked, 512) if item is not None]
    languages = [
        lang for lang in (step.data.source_language, *step.data.languages)
        if data.has("monolingual", lang)
    ]  # fmt: skip
    for lang in languages if texts else ():
        lines: list[Instruction | str] = list(
            islice(data.texts("monolingual", lang), -(-texts // len(languages)))
        )
        records += [item for item in encoder.encode(lines, 512) if item is not None]
    return [(r.ids.tolist(), r.silent or _shown(len(r.ids), config.prefix_tokens)) for r in records]


def _shown(length: int, prefix: int) -> int:
    """What the router sees of a text, which has no prompt; at most half, so there is a loss."""
    return max(1, min(1 + prefix, length // 2))


def is_routed(artifact: Artifact) -> bool:
    """Whether a model artefact answers through a router."""
    return (artifact.path / ROUTING_FILE).is_file()


def open_routing(artifact: Artifact, store: Store) -> tuple[dict[str, Any], dict[str, SkillPack]]:
    """Routing of a model artefact and its packs, open."""
    routing: dict[str, Any] = read_json(artifact.path / ROUTING_FILE)
    packs = {name: SkillPack(store.root.joinpath(*place)) for name, place in
             routing["packs"].items()}  # fmt: skip
    return routing, packs


def open_router(artifact: Artifact) -> PackRouter:
    """The trained router of a model artefact."""
    return PackRouter.load(artifact.path / "router")
