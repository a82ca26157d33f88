"""What every composition has."""

from dataclasses import dataclass


@dataclass
class Composition:
    """How parts are put together: read by the step of that name."""

    name: str = ""
    """The composition."""
