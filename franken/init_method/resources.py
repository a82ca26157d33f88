"""What methods may draw on beside the two vocabularies."""

from dataclasses import dataclass, field
from typing import Any

Lexicon = list[tuple[str, str]]
"""Pairs of a source word and a target word."""


@dataclass
class InitResources:
    """Side resources; a method that lacks what it needs says so."""

    lexicons: dict[str, Lexicon] = field(default_factory=dict)
    """Target language -> dictionary."""
    extra: dict[str, Any] = field(default_factory=dict)
    """For methods of other packages."""
