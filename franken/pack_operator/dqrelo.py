"""``dqrelo``: signs and a low-rank part, each fitted to what the other leaves (arXiv 2604.16940).

A reading of the abstract, which has no formulas: signs with a coarse scale, then a compensated low
rank of the residual. Signs with one scale are fitted to the change less the low-rank part, then the
leading directions to the change less the signs; ``rounds`` times. Each half is the best for the
other half as it is, so the error never rises, up to the rounding of the directions; the first round
alone is ``sign_plus_lowrank``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from franken.declare import option
from franken.lazy import later
from franken.pack_operator.base import PackOperator, RowUse

with later():
    from torch import Tensor

    from franken.config.pack import ClassRule, PackConfig
    from franken.parts.forms import Form, SignForm, SumForm
    from franken.skillpack.changes import Change, Residual
    from franken.skillpack.directions import lowrank_description, lowrank_form
    from franken.skillpack.policy import Plan

ROUNDS = 4
"""How often both parts are fitted, unless ``options: {rounds: N}`` of the class says otherwise."""


@option
class Dqrelo(PackOperator):
    """Signs plus the SVD of what they leave, fitted by turns (after D-QRELO)."""

    decomposes: ClassVar[bool] = True
    rows: ClassVar[RowUse] = RowUse.none

    def faults(self, rule: ClassRule) -> Iterator[tuple[str, str]]:
        yield from super().faults(rule)
        unknown = sorted(set(rule.options) - {"rounds"})
        if unknown:
            yield "options", f"dqrelo knows rounds alone, got {', '.join(unknown)}"
        rounds = rule.options.get("rounds", ROUNDS)
        if not isinstance(rounds, int) or rounds < 1:
            yield "options.rounds", f"must be a whole number of at least 1, got {rounds!r}"

    def encode(
        self, change: Change | Residual, plan: Plan, policy: PackConfig, hessian: Tensor | None
    ) -> tuple[Form, dict[str, object]]:
        delta = change.whole()
        left = delta
        for _ in range(plan.rule.options.get("rounds", ROUNDS)):
            signs = SignForm.fit(left)
            # what signs leave has no moments of its own: its vectors are rounded to the nearest
            rest, notes = lowrank_form(delta - signs.decode(), plan, policy, None)
            left = delta - rest.decode()
        return SumForm(signs, rest), notes

    def description(self, plan: Plan, group: int) -> dict[str, Any]:
        shape = list(plan.shape)
        parts = [{"form": "sign", "shape": shape}, lowrank_description(plan, group)]
        return {"form": "sum", "shape": shape, "parts": parts}
