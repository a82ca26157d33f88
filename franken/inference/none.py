"""No intervention."""

from franken.declare import option
from franken.inference.base import Inference


@option
class NoIntervention(Inference):
    """Prompts are answered as they are: target prompt, English prompt, both languages (PIM)."""
