"""Steps that make SkillPacks and put them on models."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import in_range
from franken.config.data import DataConfig
from franken.config.pack import PackConfig, Rounding, operator_of
from franken.config.router import OracleRouter, RouterConfig, TrainedRouter
from franken.config.steps.core import Part, StepConfig
from franken.pack_operator.base import RowUse


class MergeMethod(StrEnum):
    """How several packs become one change."""

    sum = "sum"
    """Weighted sum (task arithmetic, with weights below 1)."""
    average = "average"
    """Weighted mean."""
    ties = "ties"
    """Trim, elect a sign, mean of those that agree (Yadav et al. 2023)."""
    dare = "dare"
    """Random entries of each, rescaled, then the weighted sum (Yu et al. 2024)."""


class TableGraft(StrEnum):
    """What becomes of the table when a pack brings a vocabulary of its own."""

    relative = "relative"
    """``M E + R``: the receiver's own rows through the pack's token map, plus the residual."""
    absolute = "absolute"
    """``M E_B + R``: the rows of the model the pack was made from (Franken-Adapter's swap)."""


@dataclass
class PackStep(StepConfig):
    """Compress the difference of two models into a SkillPack."""

    kind: ClassVar[str] = "pack"
    version: ClassVar[int] = 3
    output: ClassVar[Part] = Part.pack
    inputs: ClassVar[dict[str, Part]] = {
        "base": Part.model, "tuned": Part.model, "initial": Part.model,
    }  # fmt: skip
    base: str = ""
    tuned: str = ""
    initial: str | None = None
    """A language pack: the ``initialise`` step whose token map led from the base's vocabulary to
    the tuned model's."""
    pack: PackConfig = field(default_factory=PackConfig)
    data: DataConfig | None = None
    """Calibration text of GPTQ."""
    split: str = "instructions"

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.pack.quant.method is Rounding.gptq and self.data is None:
            yield "data", "is missing: pack.quant.method=gptq calibrates on text"
        if self.pack.quant.method is Rounding.gptq and self.initial is not None:
            yield "pack.quant.method", "gptq is not there for language packs; choose rtn"
        for label, rule in self.pack.classes.items() if self.initial is not None else ():
            if rule.match == ".*" or "table" in rule.match.split("|"):
                if operator_of(rule).rows is RowUse.none:
                    yield (
                        f"pack.classes.{label}.op",
                        f"{rule.op} would give new rows of a language pack a sign, too; choose "
                        "prune, dare, lowrank, dense or skip for tables",
                    )
                break  # the first class that matches is the one


@dataclass
class GraftStep(StepConfig):
    """Put SkillPacks on a model."""

    kind: ClassVar[str] = "graft"
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
    """ties, dare: share of every pack's entries that is kept."""
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


@dataclass
class RouteStep(StepConfig):
    """One model with several SkillPacks and a router that picks among them."""

    kind: ClassVar[str] = "route"
    version: ClassVar[int] = 2
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "packs": Part.pack}
    model: str = ""
    packs: dict[str, str] = field(default_factory=lambda: {})
    router: RouterConfig = field(default_factory=RouterConfig)
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
        if (self.by_task or isinstance(self.router, OracleRouter)) and not self.tasks:
            yield "tasks", "is empty, but router=oracle needs to be told which task has which pack"
        trained = isinstance(self.router, TrainedRouter) and not self.by_task
        if trained and self.data is None:
            yield "data", f"is missing: router={self.router.name} is trained on instructions"
        yield from in_range("language_share", self.language_share, 0.0, 1.0)
