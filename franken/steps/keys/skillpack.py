"""Keys of steps that make SkillPacks and put them on models."""

from typing import Any

from franken.config.pack import Rounding
from franken.config.root import Config
from franken.config.router import TrainedRouter
from franken.config.steps import GraftStep, PackStep, RouteStep
from franken.steps.keys.common import options, precision_of, split_of


def pack(step: PackStep, config: Config) -> dict[str, Any]:
    """Text counts where GPTQ calibrates on it."""
    content = {"pack": options(step.pack, "name")}
    if step.pack.quant.method is Rounding.gptq and step.data is not None:
        content["data"] = split_of(step.data, step.split)
    return content


def graft(step: GraftStep, config: Config) -> dict[str, Any]:
    """How packs are summed and what becomes of the table."""
    return {
        "packs": sorted(step.packs), "weights": step.weights, "merge": str(step.merge),
        "density": step.density, "table": str(step.table), "body_scale": step.body_scale,
        "materialise": step.materialise,
    }  # fmt: skip


def route(step: RouteStep, config: Config) -> dict[str, Any]:
    """Text counts where a router is trained on it."""
    if step.by_task or not isinstance(step.router, TrainedRouter):
        name = "oracle" if step.by_task else step.router.name
        return {"router": name, "packs": sorted(step.packs), "tasks": step.tasks}
    assert step.data is not None
    return {
        "router": options(step.router, "name"), "packs": sorted(step.packs),
        "data": split_of(step.data, step.split), "language_share": step.language_share,
        "languages": [step.data.source_language, *step.data.languages],
        "precision": precision_of(config),
    }  # fmt: skip
