"""A policy made concrete: classes of tensors, columns per precision, and the size of it all."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from franken.config.pack import ClassRule, PackConfig, operator_of
from franken.errors import ConfigError
from franken.pack_operator.base import RowUse
from franken.parts.forms import form_bytes
from franken.parts.safetensors_file import Entry, encode_header
from franken.parts.weights import Weights, kind_of_tensor

_REGEX = "re:"
NEW_ROW_BITS = 8
"""Width of rows that no row of the base stands for."""


@dataclass(frozen=True)
class Rows:
    """A table over a vocabulary of its own, of which a pack stores the residual."""

    name: str
    shape: tuple[int, ...]
    copied: int
    """Rows that are copies of the base's, on which the policy's operator works."""
    new: int
    """Computed and fallback rows: stored whole in ``NEW_ROW_BITS`` bits."""


@dataclass(frozen=True)
class Plan:
    """What happens to one tensor."""

    name: str
    shape: tuple[int, ...]
    kind: str
    label: str
    """Class of the policy."""
    rule: ClassRule
    columns: tuple[tuple[int, int], ...] = ()
    """lowrank: (bits, columns); empty where the rank follows from the energy alone."""
    vocabulary: Rows | None = None
    """Tables of language packs: how many rows of each kind."""
    input_first: bool = False
    """Whether the matrix is stored ``(in, out)``."""
    asked_density: float | None = None
    """The share of the class, where the operator gave this tensor another."""

    @property
    def entries(self) -> int:
        """Entries of which a density counts the share."""
        if self.vocabulary is None:
            return math.prod(self.shape)
        return self.vocabulary.copied * math.prod(self.shape[1:])

    def keeping(self, density: float) -> "Plan":
        """The same with another share of entries."""
        rule = replace(self.rule, density=density)
        return replace(self, rule=rule, asked_density=self.rule.density)


def make_plans(weights: Weights, policy: PackConfig, vocabulary: Iterable[Rows] = ()) -> list[Plan]:
    """A plan for every tensor; each is matched by exactly one class, the first that fits.

    Args:
        weights: of the base.
        policy: classes, schedules, and a budget over all of them.
        vocabulary: tables of the pack's own, which then stand for those of the base.

    Raises:
        ConfigError: where no class fits, or a schedule lacks the class.
    """
    described = [
        (name, weights.shape(name), kind_of_tensor(name, weights.shape(name), weights.anatomy))
        for name in weights.names()
    ]
    own = {rows.name: rows for rows in vocabulary}
    if own:
        described = [item for item in described if not weights.anatomy.is_table_tensor(item[0])]
        described += [
            (name, rows.shape, "table" if len(rows.shape) > 1 else "vector")
            for name, rows in own.items()
        ]
    factor = 1.0
    if policy.budget.target is not None:
        factor = _solve_budget(described, policy, own)
    plans = _plans(described, policy, factor, own)
    if not weights.anatomy.conv1d:
        return plans
    return [replace(p, input_first=p.kind in ("attention", "mlp")) for p in plans]


def allotted(plans: list[Plan], deviation: Callable[[Plan], float]) -> list[Plan]:
    """The plans, each class's share of entries spread over its tensors as its operator says.

    Args:
        plans: of all tensors.
        deviation: standard deviation of a tensor's change; asked for where an operator does.
    """
    found = list(plans)
    classes: dict[tuple[str, str], list[int]] = {}
    for at, plan in enumerate(plans):
        classes.setdefault((plan.label, plan.rule.op), []).append(at)
    for places in classes.values():
        mine = [plans[at] for at in places]
        for at, plan in zip(places, operator_of(mine[0].rule).allot(mine, deviation), strict=True):
            found[at] = plan
    return found


def class_of(name: str, kind: str, policy: PackConfig) -> tuple[str, ClassRule]:
    """Label and rule of the first class that matches.

    Raises:
        ConfigError: where none does.
    """
    for label, rule in policy.rules().items():
        pattern = rule.match
        if pattern.startswith(_REGEX):
            if re.search(pattern[len(_REGEX) :], name):
                return label, rule
        elif pattern == ".*" or kind in pattern.split("|"):
            return label, rule
    raise ConfigError(
        f"pack.classes: no class matches {name!r} ({kind}); let the last one match everything"
    )


def schedule_columns(
    policy: PackConfig, label: str, rule: ClassRule, shape: tuple[int, int], factor: float = 1.0
) -> tuple[tuple[int, int], ...]:
    """(bits, columns) of a matrix ``(m, n)``, never more columns than it has directions.

    Counts meant for a matrix of ``schedule_width`` are scaled by cumulative rounding, so the total
    is right although small groups may vanish.
    """
    limit = min(shape)
    name = rule.schedule or (policy.schedule if rule.rank is None else None)
    if name is None:
        rank = limit if rule.rank is None else rule.rank
        return ((rule.bits, max(1, min(limit, round(rank * factor)))),)
    pairs = _pairs(policy, name, label)
    scale = factor
    if policy.schedule_width is not None:
        scale *= limit / policy.schedule_width
    reached, exact = 0, 0.0
    found = []
    for bits, count in pairs:
        exact += count * scale
        stop = min(limit, round(exact))
        if stop > reached:
            found.append((bits, stop - reached))
            reached = stop
    return tuple(found) or ((pairs[0][0], 1),)


def predicted_bytes(plans: Iterable[Plan], group: int) -> int:
    """Bytes of ``pack.safetensors``, were every entry different and no row list shorter.

    Row lists and energy rules depend on the values; the former can only save.
    """
    sizes = {
        plan.name: form_bytes(_description(plan, group))
        for plan in plans
        if operator_of(plan.rule).stores or plan.vocabulary is not None
    }
    entries = [Entry(name, "U8", (size,), size, lambda: iter(())) for name, size in sizes.items()]
    _, header = encode_header(entries, {"format": "franken skillpack"})
    return 8 + len(header) + sum(sizes.values())


def dense_bytes(weights: Weights) -> int:
    """Bytes of the whole difference in bfloat16, the measure of all ratios."""
    return 2 * sum(math.prod(weights.shape(name)) for name in weights.names())


def _plans(
    described: list[tuple[str, tuple[int, ...], str]], policy: PackConfig, factor: float,
    vocabulary: Mapping[str, Rows],
) -> list[Plan]:  # fmt: skip
    plans = []
    for name, shape, kind in described:
        label, rule = class_of(name, kind, policy)
        columns: tuple[tuple[int, int], ...] = ()
        operator = operator_of(rule)
        if operator.decomposes:
            if len(shape) != 2:
                raise ConfigError(
                    f"pack.classes.{label} would decompose {name!r} of shape {shape}; only "
                    "matrices have singular values: give vectors a class of their own"
                )
            columns = schedule_columns(policy, label, rule, (shape[0], shape[1]), factor)
        elif operator.thins and factor != 1.0:
            rule = replace(rule, density=min(1.0, rule.density * factor))
        rows = vocabulary.get(name)
        if rows is not None and len(shape) < 2:  # a bias of the new head: nothing to leave out
            rule = replace(rule, op="dense", bits=0)
        plans.append(Plan(name, shape, kind, label, rule, columns, rows))
    return plans


def _solve_budget(
    described: list[tuple[str, tuple[int, ...], str]], policy: PackConfig,
    vocabulary: Mapping[str, Rows],
) -> float:  # fmt: skip
    """The largest common factor with which the pack keeps to the target."""
    target = policy.budget.target
    assert target is not None
    allowed = target * 2 * sum(math.prod(shape) for _, shape, _ in described)

    def size(factor: float) -> int:
        plans = _plans(described, policy, factor, vocabulary)
        return predicted_bytes(plans, policy.quant.group)

    low, high = 0.0, 1.0
    if size(1e-6) > allowed:
        raise ConfigError(
            f"pack.budget.target={target} allows {int(allowed)} bytes, but the smallest pack of "
            f"this policy takes {size(1e-6)}: exact classes, new rows of a vocabulary and the "
            "header have their size"
        )
    while size(high) <= allowed and high < 1024:
        low, high = high, high * 2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if size(middle) <= allowed else (low, middle)
    return max(low, 1e-6)


def _pairs(policy: PackConfig, name: str, label: str) -> list[tuple[int, int]]:
    if name in policy.schedules:
        groups = policy.schedules[name]
        if label not in groups:
            raise ConfigError(
                f"pack.schedules.{name} has no columns for the class {label!r}; it has "
                f"{', '.join(groups)}"
            )
        return [(bits, count) for bits, count in groups[label]]
    bits = int(name.removeprefix("uniform"))
    default = policy.schedule
    if default is None or default not in policy.schedules:
        raise ConfigError(
            f"pack schedule {name!r} takes the bytes of the default schedule, but pack.schedule "
            f"is {default!r}; known: {', '.join(policy.schedules) or 'none'}"
        )
    payload = sum(b * count for b, count in _pairs(policy, default, label))
    return [(bits, max(1, payload // bits))]


def _description(plan: Plan, group: int) -> dict[str, Any]:
    """What a form of this plan would say of itself, as far as its size goes."""
    rows = plan.vocabulary
    operator = operator_of(plan.rule)
    if rows is None or operator.rows is RowUse.every:
        return operator.description(plan, group)
    new: dict[str, Any] = {
        "form": "rows", "shape": list(plan.shape), "rows": rows.new, "bits": NEW_ROW_BITS,
        "group_size": group,
    }  # fmt: skip
    if not operator.stores or not rows.copied:
        return new
    parts = [new, operator.description(plan, group)]
    return {"form": "sum", "shape": list(plan.shape), "parts": parts}
