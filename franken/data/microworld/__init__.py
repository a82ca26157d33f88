"""The embedded world: several hundred concepts, seven languages, five scripts, known truth.

A test bench, no substitute for real text; see docs/microworld.md.
"""

from franken.config.data import MicroworldData
from franken.data.microworld.source import Microworld


def open_source(config: MicroworldData) -> Microworld:
    """The world as a ``DataSource``."""
    return Microworld(config)


__all__ = ["Microworld", "open_source"]
