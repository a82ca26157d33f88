"""A mixture of packs for every token."""

from franken.declare import option
from franken.router.base import LearnedRouter, RouterLevel


@option
class TokenRouter(LearnedRouter):
    """A small network on the hidden state of every token weighs the packs' predictions."""

    level: RouterLevel = RouterLevel.token
    top_k: int = 8
