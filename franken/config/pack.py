"""Options of the group ``pack``: how the difference of two models becomes a SkillPack."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from franken.config.checks import at_least, checks_itself, hint, in_range, members_by_name
from franken.declare import find, options, schema
from franken.pack_operator.base import PackOperator

KINDS = ("table", "attention", "mlp", "vector", "other")
"""Kinds of tensors that a class may match."""


class SvdMethod(StrEnum):
    """How singular vectors are found."""

    auto = "auto"
    """Randomised up to an eighth of the smaller side, Gram matrix above; full below 512."""
    full = "full"
    gram = "gram"
    randomized = "randomized"


class Rounding(StrEnum):
    """How singular vectors become integers."""

    rtn = "rtn"
    """To the nearest: needs no text."""
    gptq = "gptq"
    """GPTQ in two stages, V before U, on calibration text (Delta-CoMe)."""


class SparseIndex(StrEnum):
    """How the places of kept entries are written."""

    auto = "auto"
    bitmap = "bitmap"
    csr = "csr"
    rows = "rows"
    """A list of the rows that changed, and a bitmap of these."""
    elias_fano = "elias_fano"
    """Low bits as they are, high ones as runs: the shortest where few entries of every row are
    kept. ``auto`` chooses among the other three."""


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
    sce = "sce"
    """Places where packs differ most, packs weighted by their energy there, signs that go against
    the sum left out (SCE, Wan et al. 2024)."""
    pcb = "pcb"
    """Entries weighted by their size in their own pack and by how they go with the sum of all
    (PCB-Merging, Du et al. 2024)."""


@members_by_name
@dataclass
class SvdOptions:
    """Settings of the decomposition."""

    method: SvdMethod = SvdMethod.auto
    oversample: float = 0.25
    """Extra directions of the randomised method as a share of the rank, at least 10."""
    power: int = 2
    """Power iterations; the tail of a delta is flat, so 0 costs accuracy."""
    seed: int = 0
    """Each tensor draws from this and its name, so the order does not matter."""
    measure_excess: bool = False
    """Also find all singular values and record how far a randomised result is from the best."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("oversample", self.oversample, 0.0)
        yield from at_least("power", self.power, 0)


@members_by_name
@dataclass
class QuantOptions:
    """Settings of the rounding of singular vectors."""

    method: Rounding = Rounding.rtn
    group: int = 128
    """Entries that share a scale and a zero point."""
    sigma_refit: bool = False
    """Choose the singular values anew for the rounded vectors; not in the paper, costs no bytes.
    The squared error falls, and so does the skill: the fit shrinks what rounding blurred
    (docs/graftllm.md)."""
    damp: float = 0.01
    """GPTQ: share of the mean diagonal that is added to it."""
    act_order: bool = True
    """GPTQ: columns in the order of falling diagonal; groups stay where they are."""
    calibration_records: int = 128
    """GPTQ: texts of ``split`` that are run through the tuned model."""
    calibration_tokens: int = 2048
    """GPTQ: tokens per text at most."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("group", self.group, 2)
        yield from at_least("damp", self.damp, 0.0)
        yield from at_least("calibration_records", self.calibration_records, 1)
        yield from at_least("calibration_tokens", self.calibration_tokens, 8)


@members_by_name
@dataclass
class ClassRule:
    """One class of tensors: which, and what is done with them."""

    match: str = ".*"
    """Kind of tensor (``table``, ``attention``, ``mlp``, ``vector``, ``other``), several with
    ``|``; or a regular expression on its name, after ``re:``."""
    op: str = "dense"
    """A file of ``franken/pack_operator``: dare, dense, dqrelo, lowrank, prune, sign,
    sign_plus_lowrank, skip, ultradelta."""
    schedule: str | None = None
    """lowrank: a name under ``schedules``, or ``uniform<bits>`` for one width at the bytes of the
    default schedule; ``null``: ``rank`` columns of ``bits``."""
    rank: int | None = None
    """lowrank without a schedule: directions; ``null``: all, or as ``energy`` says."""
    energy: float | None = None
    """lowrank: the fewest directions with this share of the squared singular values; with a
    schedule, its last group takes what is left over. Under a budget never more than the columns
    that it allows."""
    bits: int = 16
    """Width of values: prune and dare 4, 8, 16, 32; dense 16, 32, 0 (exact); lowrank 2 to 32;
    ultradelta 1 to 8."""
    density: float = 0.1
    """prune, dare, ultradelta: share of the entries kept."""
    index: SparseIndex = SparseIndex.auto
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of the operator alone: ``rounds`` of dqrelo, ``step``, ``gamma`` and ``rescale`` of
    ultradelta, those of other packages' operators."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from self._match_faults()
        yield from in_range("density", self.density, 0.0, 1.0)
        if self.energy is not None:
            yield from in_range("energy", self.energy, 0.0, 1.0)
        yield from at_least("rank", self.rank, 1)
        known = options("pack_operator")
        if self.op not in known:
            yield "op", f"{self.op!r} is no operator.{hint(self.op, known)}"
        else:
            yield from operator_of(self).faults(self)

    def _match_faults(self) -> Iterator[tuple[str, str]]:
        if self.match.startswith("re:"):
            try:
                re.compile(self.match[3:])
            except re.error as error:
                yield "match", f"{self.match!r} is no regular expression: {error}"
        elif self.match != ".*":
            for kind in self.match.split("|"):
                if kind not in KINDS:
                    yield "match", f"{kind!r} is no kind of tensor; valid: {', '.join(KINDS)}"


def operator_of(rule: ClassRule) -> PackOperator:
    """The operator that a rule names.

    Raises:
        ConfigError: for an unknown one.
    """
    found: PackOperator = find("pack_operator", rule.op)()
    return found


@dataclass
class Budget:
    """A size to aim at."""

    target: float | None = None
    """Bytes of the pack as a share of the dense bfloat16 difference of all tensors; column counts,
    ranks and densities are scaled together until the formula says so; the energy rule keeps below
    them. ``null``: as configured."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.target is not None and not self.target > 0:
            yield "target", f"must be above 0, got {self.target}"


@checks_itself
@schema("policy")
class PackConfig:
    """A policy: classes of tensors and an operator for each."""

    name: str = "dense_bf16"
    """The option, as results name it."""
    classes: dict[str, ClassRule] = field(default_factory=dict)
    """Label -> rule; the first that matches wins. The label also picks the class of a schedule.
    Without any, every tensor keeps all of its change in 16 bits."""
    schedules: dict[str, dict[str, list[list[int]]]] = field(default_factory=dict)
    """Name -> label of a class -> [bits, columns] from the largest singular value on."""
    schedule: str | None = None
    """Default of every rule that names none."""
    schedule_width: int | None = None
    """Smaller side for which column counts are meant; those of other matrices are scaled in
    proportion. ``null``: counts are taken as they are, clipped to what a matrix has."""
    svd: SvdOptions = field(default_factory=SvdOptions)
    quant: QuantOptions = field(default_factory=QuantOptions)
    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    """Of ``dare`` and ``ultradelta``."""

    def rules(self) -> dict[str, ClassRule]:
        """The classes, or the one that stands for none."""
        return self.classes or {"all": ClassRule()}

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("schedule_width", self.schedule_width, 1)
        names = {self.schedule, *(rule.schedule for rule in self.classes.values())} - {None}
        for name in sorted(map(str, names)):
            uniform = name in {f"uniform{bits}" for bits in (*range(1, 9), 16, 32)}
            if name not in self.schedules and not uniform:
                known = ", ".join(sorted(self.schedules)) or "none"
                yield "schedule", f"{name!r} is not under schedules; known: {known}, uniform<bits>"
            elif uniform and self.schedule not in self.schedules:
                yield (
                    "schedule",
                    f"{name!r} takes the bytes of the default schedule, so this must be one of "
                    f"{', '.join(sorted(self.schedules)) or 'none'}, got {self.schedule!r}; set "
                    f"classes.LABEL.schedule={name} and leave this",
                )
        for name, groups in self.schedules.items():
            for label, pairs in groups.items():
                good = all(
                    len(p) == 2 and p[0] in (*range(1, 9), 16, 32) and p[1] >= 1 for p in pairs
                )
                if not good:
                    yield f"schedules.{name}.{label}", f"must list [bits, columns], got {pairs}"
        tail = list(self.classes.values())[-1:] or [ClassRule()]
        if tail[0].match not in (".*", "re:.*"):
            yield "classes", "the last class must match everything ('.*'), so that none is missed"
