"""A pack for every request, by its words."""

from franken.declare import option
from franken.router.base import LearnedRouter, RouterFeature


@option
class ClassifierRouter(LearnedRouter):
    """A linear classifier on the mean input embedding of the prompt picks one pack per request."""

    feature: RouterFeature = RouterFeature.embedding
    width: int = 0
    dropout: float = 0.0
    lr: float = 3e-2
