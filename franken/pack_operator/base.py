"""What every operator of a SkillPack says of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

    from franken.config.pack import ClassRule, PackConfig
    from franken.parts.forms import Form
    from franken.skillpack.changes import Change, Residual
    from franken.skillpack.policy import Plan


class RowUse(StrEnum):
    """What an operator does with the table of a language pack."""

    copied = "copied"
    """It works on the rows that are copies of the base's; new rows are stored beside them."""
    every = "every"
    """It works on all rows at once."""
    none = "none"
    """It cannot leave rows alone, so it is refused there."""


class PackOperator:
    """What is done with the change of one tensor; made without arguments, keeps no state."""

    name: str = ""
    stores: ClassVar[bool] = True
    """Whether anything of the change is kept."""
    decomposes: ClassVar[bool] = False
    """Whether it needs a matrix, and the columns that schedule, rank or budget give."""
    thins: ClassVar[bool] = False
    """Whether ``density`` decides its size, so that a budget scales it."""
    rows: ClassVar[RowUse] = RowUse.copied
    widths: ClassVar[tuple[int, ...]] = (*range(1, 9), 16, 32)
    """Values of ``bits`` that it knows."""

    def faults(self, rule: ClassRule) -> Iterator[tuple[str, str]]:
        """Field of the rule and what is wrong with it."""
        if rule.bits not in self.widths:
            known = ", ".join(map(str, self.widths))
            yield "bits", f"must be one of {known} for {self.name}, got {rule.bits}"

    def allot(self, plans: list[Plan], deviation: Callable[[Plan], float]) -> list[Plan]:
        """Share out among tensors what their class may keep; default: all alike.

        Args:
            plans: all of one class.
            deviation: standard deviation of a tensor's change.
        """
        return plans

    def encode(
        self, change: Change | Residual, plan: Plan, policy: PackConfig, hessian: Tensor | None
    ) -> tuple[Form, dict[str, object]]:
        """Compress a change that is not zero.

        Args:
            change: of the tensor that the plan is about.
            plan: class, rule and columns.
            policy: settings of the decomposition and of the rounding.
            hessian: ``(n, n)`` moments of the inputs for GPTQ; ``None`` where there are none.

        Returns:
            The form, and notes for the manifest.
        """
        raise NotImplementedError

    def description(self, plan: Plan, group: int) -> dict[str, Any]:
        """What the form would say of itself as far as its size goes.

        Args:
            plan: class, rule and columns.
            group: entries that share a scale.
        """
        raise NotImplementedError
