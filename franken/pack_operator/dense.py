"""``dense``: every entry of the change."""

from __future__ import annotations

from typing import Any, ClassVar

from franken.declare import option
from franken.lazy import later
from franken.pack_operator.base import PackOperator, RowUse

with later():
    import torch
    from torch import Tensor

    from franken.config.pack import PackConfig
    from franken.parts.forms import DenseForm, Form
    from franken.skillpack.changes import Change, Residual
    from franken.skillpack.policy import Plan


@option
class Dense(PackOperator):
    """Every entry; ``bits`` 16, 32, or 0 for exact."""

    rows: ClassVar[RowUse] = RowUse.every
    widths: ClassVar[tuple[int, ...]] = (0, 16, 32)

    def encode(
        self, change: Change | Residual, plan: Plan, policy: PackConfig, hessian: Tensor | None
    ) -> tuple[Form, dict[str, object]]:
        bits = plan.rule.bits
        if bits == 0:
            return DenseForm(change.exact()), {}
        return DenseForm(change.whole(torch.bfloat16 if bits == 16 else torch.float32)), {}

    def description(self, plan: Plan, group: int) -> dict[str, Any]:
        names = {16: "bfloat16", 32: "float32", 0: "float32"}
        return {"form": "dense", "shape": list(plan.shape), "dtype": names[plan.rule.bits]}
