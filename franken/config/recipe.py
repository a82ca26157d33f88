"""Options of the group ``recipe``: graphs of steps."""

from dataclasses import field
from typing import Any

from franken.declare import schema


@schema("recipe")
class RecipeConfig:
    """A graph of steps; references are names of other steps."""

    name: str = ""
    """The option, as results name it."""
    steps: dict[str, Any] = field(default_factory=dict)
    """Step name -> ``{step: kind, ...}``; the kinds and their fields are in franken/steps."""
    donor: str = ""
    """The step whose model ``donor.path`` gives instead, e.g. ``instruct``."""
    run: list[str] = field(default_factory=list)
    """Steps that hold scores of their own (``transplant``) and are asked for."""
    evaluate: list[str] = field(default_factory=list)
    """Steps whose models are scored with ``eval_suite``."""
    export: list[str] = field(default_factory=list)
    """Steps whose models are written as transformers checkpoints."""
