"""``ultradelta``: few levels, of each a random share, more where the change is large.

Wang et al. 2025 (arXiv 2505.13563, release xiaohuiwang000/UltraDelta). Three parts:

1. The change of a matrix is rounded to ``2^bits`` levels between its least and its largest entry,
   and of the entries of each level the same share is kept, so that their distribution stays.
2. Matrices in the order of their standard deviation: the first third of all parameters keeps
   ``density - step``, the second ``density``, the rest what makes the total right.
3. What is kept is scaled by ``gamma`` over the kept share; the paper takes ``gamma`` from 0.5 to 1,
   the smaller the larger the change is beside those of other packs.

Departures: entries that did not change stay unchanged (zero is no level, so the release moves them
by up to half a step); the share is each matrix's own (``rescale: layer``), which leaves the mean of
every entry right, where the release divides by the one share of all (``rescale: global``); places
are written by Elias-Fano, not by run lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from franken.declare import option
from franken.lazy import later
from franken.pack_operator.base import PackOperator

with later():
    from torch import Tensor

    from franken.config.pack import ClassRule, PackConfig
    from franken.parts.forms import Form, LevelsForm
    from franken.seeds import derive_seed
    from franken.skillpack.changes import Change, Residual
    from franken.skillpack.levels import draw_by_level, share_by_deviation
    from franken.skillpack.policy import Plan
    from franken.skillpack.selection import cheapest_index

STEP = 0.01
GAMMA = 1.0
LEAST = 0.01
"""No matrix keeps less than this share, as in the release."""
RESCALES = ("layer", "global")
_KNOWN = {"step", "gamma", "rescale"}


@option
class UltraDelta(PackOperator):
    """A random share of each of a few levels, more of it where the change is large (UltraDelta)."""

    thins: ClassVar[bool] = True
    widths: ClassVar[tuple[int, ...]] = tuple(range(1, 9))

    def faults(self, rule: ClassRule) -> Iterator[tuple[str, str]]:
        yield from super().faults(rule)
        unknown = sorted(set(rule.options) - _KNOWN)
        if unknown:
            yield "options", f"ultradelta knows step, gamma, rescale, got {', '.join(unknown)}"
        step, gamma = rule.options.get("step", STEP), rule.options.get("gamma", GAMMA)
        if not _is_number(step) or not 0 <= step < 1:
            yield "options.step", f"must be at least 0 and below 1, got {step!r}"
        if not _is_number(gamma) or gamma <= 0:
            yield "options.gamma", f"must be above 0, got {gamma!r}"
        rescale = rule.options.get("rescale", RESCALES[0])
        if rescale not in RESCALES:
            yield "options.rescale", f"must be one of {', '.join(RESCALES)}, got {rescale!r}"

    def allot(self, plans: list[Plan], deviation: Callable[[Plan], float]) -> list[Plan]:
        density, step = plans[0].rule.density, plans[0].rule.options.get("step", STEP)
        if not step or density >= 1:
            return plans
        shares = share_by_deviation(
            [(plan.entries, deviation(plan)) for plan in plans],
            density, min(step, density / 2), min(LEAST, density),
        )  # fmt: skip
        return [plan.keeping(share) for plan, share in zip(plans, shares, strict=True)]

    def encode(
        self, change: Change | Residual, plan: Plan, policy: PackConfig, hessian: Tensor | None
    ) -> tuple[Form, dict[str, object]]:
        drawn = draw_by_level(
            change.blocks, plan.rule.bits, plan.rule.density * plan.entries,
            derive_seed(policy.seed, plan.name),
        )  # fmt: skip
        settings = plan.rule.options
        of_all = settings.get("rescale", RESCALES[0]) == "global"
        share = (plan.asked_density or plan.rule.density) if of_all else drawn.share
        levels = drawn.levels * (settings.get("gamma", GAMMA) / share)
        form = LevelsForm.encode(
            plan.shape, drawn.places, drawn.codes, levels, index=str(plan.rule.index)
        )
        return form, {"kept": round(drawn.share, 6)}

    def description(self, plan: Plan, group: int) -> dict[str, Any]:
        described = {
            "form": "levels", "shape": list(plan.shape), "bits": plan.rule.bits,
            "nnz": round(plan.rule.density * plan.entries),
        }  # fmt: skip
        return cheapest_index(described, str(plan.rule.index))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
