"""``dare``: random entries of the change, rescaled (Yu et al. 2024)."""

from __future__ import annotations

from typing import Any, ClassVar

from franken.declare import option
from franken.lazy import later
from franken.pack_operator.base import PackOperator

with later():
    from torch import Tensor

    from franken.config.pack import PackConfig
    from franken.parts.forms import Form
    from franken.seeds import derive_seed
    from franken.skillpack.changes import Change, Residual
    from franken.skillpack.policy import Plan
    from franken.skillpack.selection import random_subset, sparse_description, sparse_form


@option
class Dare(PackOperator):
    """Keep random entries, rescaled by 1 / density (Yu et al. 2024)."""

    thins: ClassVar[bool] = True

    def encode(
        self, change: Change | Residual, plan: Plan, policy: PackConfig, hessian: Tensor | None
    ) -> tuple[Form, dict[str, object]]:
        seed = derive_seed(policy.seed, plan.name)
        places, values = random_subset(change.blocks, plan.rule.density, seed)
        return sparse_form(plan, policy, places, values), {}

    def description(self, plan: Plan, group: int) -> dict[str, Any]:
        return sparse_description(plan, group)
