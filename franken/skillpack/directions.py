"""A matrix as singular directions in groups of falling precision."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from franken.config.pack import PackConfig, Rounding
from franken.errors import CompatibilityError
from franken.parts.forms import Form, LowRankForm, ZeroForm
from franken.parts.forms.lowrank import half_sigma
from franken.skillpack.gptq import quantise_group
from franken.skillpack.policy import Plan
from franken.skillpack.refit import refit_sigma
from franken.skillpack.svd import RowBlocks, energy_rank, factorise

if TYPE_CHECKING:
    from franken.skillpack.changes import Change, Residual


def calibrated_form(
    change: Change | Residual, plan: Plan, policy: PackConfig, hessian: Tensor | None
) -> tuple[Form, dict[str, object]]:
    """Low-rank with the moments of what the matrix reads, where GPTQ is asked for.

    Raises:
        CompatibilityError: where GPTQ is asked for and a matrix of attention or MLP has no hessian.
    """
    delta = RowBlocks(change.blocks, change.shape) if change.large else change.whole()
    if policy.quant.method is not Rounding.gptq:
        return lowrank_form(delta, plan, policy, None)
    if hessian is None and plan.kind in ("attention", "mlp"):
        raise CompatibilityError(
            f"pack.quant.method=gptq: no moments of the inputs of {plan.name!r}; calibration saw "
            "no such layer read anything. Choose pack.quant.method=rtn, or give `hessians` for it"
        )
    if hessian is None or not plan.input_first:
        return lowrank_form(delta, plan, policy, hessian)
    # Stored (in, out): GPTQ wants the inputs on the side of V.
    turned = replace(plan, shape=plan.shape[::-1])
    whole = delta.whole() if isinstance(delta, RowBlocks) else delta
    form, notes = lowrank_form(whole.T.contiguous(), turned, policy, hessian)
    if isinstance(form, LowRankForm):
        return form.transposed(), notes
    return ZeroForm(plan.shape), notes


def lowrank_form(
    delta: Tensor | RowBlocks, plan: Plan, policy: PackConfig, hessian: Tensor | None
) -> tuple[Form, dict[str, object]]:
    """The leading directions of a matrix, rounded in groups; and how they were found.

    Args:
        delta: ``(m, n)``, whole or in blocks of rows.
        plan: rule and columns.
        policy: settings of decomposition, rounding and budget.
        hessian: ``(n, n)`` for GPTQ; ``None`` rounds to the nearest.
    """
    rule, quant = plan.rule, policy.quant
    columns = list(plan.columns)
    wanted = None if rule.energy is not None else sum(count for _, count in columns)
    factors = factorise(delta, wanted, policy.svd, name=plan.name)
    notes: dict[str, object] = {"svd": factors.method}
    if factors.excess is not None:
        notes["excess"] = factors.excess
    if rule.energy is not None:
        needed = energy_rank(factors.sigma, rule.energy)
        if policy.budget.target is not None:  # the planned columns are what the budget pays for
            needed = min(needed, sum(count for _, count in columns))
        columns = fit_columns(columns, needed)
    rank = min(sum(count for _, count in columns), len(factors.sigma))
    columns = fit_columns(columns, rank)
    if rank == 0:
        return ZeroForm(plan.shape), notes
    factors = factors.cut(rank)
    left, sigma, right = factors.left, factors.sigma, factors.right
    if hessian is not None:
        form = LowRankForm((left.shape[0], right.shape[1]), half_sigma(sigma), [], quant.group)
        at = 0
        for bits, count in columns:
            part = slice(at, at + count)
            form.groups.append(
                quantise_group(left[:, part], sigma[part], right[part], hessian, bits, quant)
            )
            at += count
        if form.wide_sigma:
            form.sigma = sigma.float()
    else:
        form = LowRankForm.encode(left, sigma, right, columns, group_size=quant.group)
    rounded = any(bits < 16 for bits, _ in columns)
    if rounded:
        notes["rounding"] = str(Rounding.rtn if hessian is None else Rounding.gptq)
        if quant.sigma_refit:
            form = refit_sigma(form, delta, hessian)
    return form, {**notes, "rank": rank}


def fit_columns(columns: list[tuple[int, int]], rank: int) -> list[tuple[int, int]]:
    """Cut the groups to a rank, or let the last one reach it."""
    found: list[tuple[int, int]] = []
    reached = 0
    for index, (bits, count) in enumerate(columns):
        last = index == len(columns) - 1
        take = rank - reached if last else min(count, rank - reached)
        if take > 0:
            found.append((bits, take))
            reached += take
    return found


def lowrank_description(plan: Plan, group: int) -> dict[str, Any]:
    """What the form of a plan would say of itself, as far as its size goes."""
    return {
        "form": "lowrank", "shape": list(plan.shape), "group_size": group,
        "groups": [[bits, count, 0, 0] for bits, count in plan.columns],
    }  # fmt: skip
