"""``skip``: the change is not stored; the manifest lists the tensor."""

from __future__ import annotations

from typing import ClassVar

from franken.declare import option
from franken.pack_operator.base import PackOperator


@option
class Skip(PackOperator):
    """Not stored; listed in the manifest."""

    stores: ClassVar[bool] = False
