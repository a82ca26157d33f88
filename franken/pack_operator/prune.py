"""``prune``: the largest entries of the change."""

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
    from franken.skillpack.policy import Plan
    from franken.skillpack.selection import largest, sparse_description, sparse_form


@option
class Prune(PackOperator):
    """Keep the largest entries."""

    thins: ClassVar[bool] = True

    def encode(
        self, change: Change | Residual, plan: Plan, policy: PackConfig, hessian: Tensor | None
    ) -> tuple[Form, dict[str, object]]:
        places, values = largest(change.blocks, round(plan.rule.density * plan.entries))
        return sparse_form(plan, policy, places, values), {}

    def description(self, plan: Plan, group: int) -> dict[str, Any]:
        return sparse_description(plan, group)
