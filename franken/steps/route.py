"""One model with several SkillPacks and a router; the router is trained here if it is to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, field
from itertools import islice
from typing import Any, ClassVar

from franken.config.checks import in_range
from franken.config.data import DataConfig
from franken.data import open_data
from franken.errors import CompatibilityError
from franken.files import read_json, write_json
from franken.lazy import later
from franken.router.base import LearnedRouter, Router
from franken.steps.base import Part, Step, step
from franken.steps.common.key_parts import options, precision_of

with later():
    from franken.config.root import Config
    from franken.data.encoding import RecordEncoder
    from franken.data.source import DataSource, Instruction
    from franken.parts.anatomy import anatomy_of
    from franken.parts.model import assemble
    from franken.parts.skillpack import SkillPack
    from franken.skillpack.experts import Experts
    from franken.skillpack.router import PackRouter, train_router
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model, read_places, write_model
    from franken.steps.pack import pack_facts
    from franken.store import Artifact, Store

ROUTING_FILE = "graft_routing.json"


@step
class RouteStep(Step):
    """One model with several SkillPacks and a router that picks among them."""

    version: ClassVar[int] = 2
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "packs": Part.pack}
    model: str = ""
    packs: dict[str, str] = field(default_factory=lambda: {})
    router: Router = field(default_factory=Router)
    by_task: bool = False
    """Let ``tasks`` decide whatever router is chosen (the oracle beside a router in one recipe)."""
    tasks: dict[str, str] = field(default_factory=lambda: {})
    """oracle: ``task@language``, ``@language``, ``task@target`` (every language but the source
    language) or ``task`` -> pack, the first that fits; others get none."""
    data: DataConfig | None = None
    """What a trained router learns from."""
    split: str = "instructions"
    language_share: float = 0.0
    """Share of monolingual text among the router's examples, in equal parts of the source language,
    which the model without a pack answers best, and the target languages."""

    def references(self) -> dict[str, str]:
        """One reference per pack."""
        return {"model": self.model, **{f"packs.{k}": v for k, v in self.packs.items()}}

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.packs:
            yield "packs", "names no pack; give at least one, e.g. {skill: packed}"
        for task, pack in self.tasks.items():
            if pack not in self.packs:
                yield f"tasks.{task}", f"names the pack {pack!r}; packs: {', '.join(self.packs)}"
        if (self.by_task or self.router.by_task) and not self.tasks:
            yield "tasks", "is empty, but router=oracle needs to be told which task has which pack"
        trained = isinstance(self.router, LearnedRouter) and not self.by_task
        if trained and self.data is None:
            yield "data", f"is missing: router={self.router.name} is trained on instructions"
        yield from in_range("language_share", self.language_share, 0.0, 1.0)

    def key(self, config: Config) -> dict[str, Any]:
        """Text counts where a router is trained on it."""
        if self.by_task or not isinstance(self.router, LearnedRouter):
            name = "oracle" if self.by_task else self.router.name
            return {"router": name, "packs": sorted(self.packs), "tasks": self.tasks}
        assert self.data is not None
        source = open_data(self.data)
        content = {
            "router": {**options(self.router), "version": self.router.version},
            "packs": sorted(self.packs),
            "instructions": source.fingerprint({"instructions"}),
            "tasks": self.data.mixtures[self.split].tasks,
            "language_share": self.language_share,
            "precision": precision_of(config),
        }
        if self.language_share:
            languages = [self.data.source_language, *self.data.languages]
            content["languages"] = languages
            content["texts"] = source.fingerprint({"monolingual"}, languages)
        return content

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes the model's references, ``graft_routing.json`` and the trained router.

        Raises:
            CompatibilityError: where a pack was made on another body, or brings a vocabulary.
        """
        places = read_places(context.inputs["model"])
        packs = {
            name: SkillPack(context.inputs[f"packs.{name}"].path / "pack") for name in self.packs
        }
        for name, pack in packs.items():
            if pack.body != places["fingerprint"] or pack.manifest["vocab"] is not None:
                raise CompatibilityError(
                    f"step {context.name!r}: pack {name!r} was made on body {pack.body[:12]}, or "
                    "brings a vocabulary; a router chooses among packs of "
                    f"{places['fingerprint'][:12]}"
                )
        sources = {name: context.inputs[f"packs.{name}"] for name in self.packs}
        for artifact in sources.values():
            context.references.append([artifact.kind, artifact.key])
        facts: dict[str, Any] = {
            "packs": {name: pack_facts(pack) for name, pack in packs.items()},
        }
        kind = "by_task" if self.by_task or self.router.by_task else "none"
        if kind == "none" and isinstance(self.router, LearnedRouter):
            kind = "learned"
            facts["router"] = _train(self, self.router, context, packs)
        write_json(
            context.directory / ROUTING_FILE,
            {
                "packs": {n: [a.kind, a.key, "pack"] for n, a in sources.items()},
                "kind": kind,
                "tasks": self.tasks,
            },
        )
        write_json(context.directory / "graft.json", facts)
        write_model(
            context, body=places["body"], table=places["table"], deltas=places["deltas"],
            lineage=places["lineage"], fingerprint=places["fingerprint"],
        )  # fmt: skip
        return facts


def _train(
    step: RouteStep, config: LearnedRouter, context: StepContext, packs: dict[str, SkillPack]
) -> dict[str, Any]:
    device = context.device
    model, tokenizer = assemble(open_model(context.inputs["model"], context.store), device=device)
    if anatomy_of(model.config).masked:
        raise CompatibilityError(
            f"step {context.name!r}: router={config.name} learns from losses of next tokens, which "
            "a masked language model does not have; take router=oracle and say the tasks"
        )
    assert step.data is not None
    encoder = RecordEncoder(tokenizer, str(step.data.chat))
    examples = router_examples(step, config, open_data(step.data), encoder)
    experts = Experts(model, packs)
    router, report = train_router(experts, examples, config, seed=context.seed, device=device)
    router.save(context.directory / "router")
    return asdict(report)


def router_examples(
    step: RouteStep, config: LearnedRouter, data: DataSource, encoder: RecordEncoder
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
