"""``lowrank``: SVD of the change, directions in groups of falling precision."""

from __future__ import annotations

from typing import Any, ClassVar

from franken.declare import option
from franken.lazy import later
from franken.pack_operator.base import PackOperator

with later():
    from torch import Tensor

    from franken.config.pack import PackConfig
    from franken.parts.forms import Form
    from franken.skillpack.changes import Change, Residual
    from franken.skillpack.directions import calibrated_form, lowrank_description
    from franken.skillpack.policy import Plan


@option
class Lowrank(PackOperator):
    """SVD, columns in groups of falling precision (GraftLLM, Delta-CoMe, PHLoRA)."""

    decomposes: ClassVar[bool] = True

    def encode(
        self, change: Change | Residual, plan: Plan, policy: PackConfig, hessian: Tensor | None
    ) -> tuple[Form, dict[str, object]]:
        return calibrated_form(change, plan, policy, hessian)

    def description(self, plan: Plan, group: int) -> dict[str, Any]:
        return lowrank_description(plan, group)
