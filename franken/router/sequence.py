"""A pack for every request, by hidden states."""

from franken.declare import option
from franken.router.base import LearnedRouter


@option
class SequenceRouter(LearnedRouter):
    """A small network on the mean hidden state of the prompt picks one pack per request."""
