"""``sign_plus_lowrank``: signs, and the SVD of what they leave."""

from __future__ import annotations

from typing import Any, ClassVar

from franken.declare import option
from franken.lazy import later
from franken.pack_operator.base import PackOperator, RowUse

with later():
    from torch import Tensor

    from franken.config.pack import PackConfig
    from franken.parts.forms import Form, SignForm, SumForm
    from franken.skillpack.changes import Change, Residual
    from franken.skillpack.directions import lowrank_description, lowrank_form
    from franken.skillpack.policy import Plan


@option
class SignPlusLowrank(PackOperator):
    """Signs plus the SVD of what they leave."""

    decomposes: ClassVar[bool] = True
    rows: ClassVar[RowUse] = RowUse.none

    def encode(
        self, change: Change | Residual, plan: Plan, policy: PackConfig, hessian: Tensor | None
    ) -> tuple[Form, dict[str, object]]:
        delta = change.whole()
        signs = SignForm.fit(delta)
        # what signs leave has no moments of its own: its vectors are rounded to the nearest
        rest, notes = lowrank_form(delta - signs.decode(), plan, policy, None)
        return SumForm(signs, rest), notes

    def description(self, plan: Plan, group: int) -> dict[str, Any]:
        shape = list(plan.shape)
        parts = [{"form": "sign", "shape": shape}, lowrank_description(plan, group)]
        return {"form": "sum", "shape": shape, "parts": parts}
