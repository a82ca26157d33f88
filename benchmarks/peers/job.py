"""What a job is: a peer, its pinned packages, and the commands of both sides."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SIDES = Path(__file__).parent / "sides"


@dataclass(frozen=True)
class Inputs:
    """Directories that the command line names."""

    models: Path
    tokenizers: Path
    data: Path


Command = list[str]
Make = Callable[[Inputs, Path, Path], Command]
"""From inputs, a folder for what is written, and the peer's interpreter."""


@dataclass(frozen=True)
class Job:
    title: str
    peer: str
    requirements: tuple[str, ...]
    """Of the peer's environment; none: the peer is a library that franken's own environment has."""
    goal: str
    franken: Make
    other: Make
    needs: tuple[str, ...]
    """Inputs, as ``models/NAME``, without which the job is skipped."""
    before: tuple[Make, ...] = ()
    after: tuple[Make, ...] = ()
    """Commands after both; the last prints the agreement."""
    long: bool = False


def ours(script: str, *arguments: object) -> Command:
    return [sys.executable, str(SIDES / script), *map(str, arguments)]
