"""``sign``: one sign per entry and one scale (BitDelta, Liu et al. 2024)."""

from __future__ import annotations

from typing import Any, ClassVar

from franken.declare import option
from franken.lazy import later
from franken.pack_operator.base import PackOperator, RowUse

with later():
    from torch import Tensor

    from franken.config.pack import PackConfig
    from franken.parts.forms import Form, SignForm
    from franken.skillpack.changes import Change, Residual
    from franken.skillpack.policy import Plan


@option
class Sign(PackOperator):
    """One sign per entry and one scale (BitDelta)."""

    rows: ClassVar[RowUse] = RowUse.none

    def encode(
        self, change: Change | Residual, plan: Plan, policy: PackConfig, hessian: Tensor | None
    ) -> tuple[Form, dict[str, object]]:
        if change.large:
            return SignForm.fit_blocks(change.blocks, change.shape), {}
        return SignForm.fit(change.whole()), {}

    def description(self, plan: Plan, group: int) -> dict[str, Any]:
        return {"form": "sign", "shape": list(plan.shape)}
