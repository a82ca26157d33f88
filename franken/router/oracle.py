"""The router that is told the answer."""

from typing import ClassVar

from franken.declare import option
from franken.router.base import Router


@option
class OracleRouter(Router):
    """The task says which pack answers (the paper's manual map)."""

    by_task: ClassVar[bool] = True
