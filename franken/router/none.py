"""No router."""

from franken.declare import option
from franken.router.base import Router


@option
class NoRouter(Router):
    """No pack: the model as it is."""
