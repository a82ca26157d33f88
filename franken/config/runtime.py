"""How the jobs of a grid are shared out, and where things are kept; in no key."""

from collections.abc import Iterator
from dataclasses import dataclass

from franken.config.checks import at_least


@dataclass
class SweepConfig:
    """How the jobs of a grid (``-m``) are shared out."""

    take: str = "all"
    """``all``: this command runs them all; ``free``: those that no other copy of it has taken."""
    wait: bool = True
    """With ``free``: stay until all are done, to take over from copies that die."""
    attempts: int = 3
    """With ``free``: how often a job that fails or kills its process is begun in all."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("attempts", self.attempts, 1)
        if self.take not in ("all", "free"):
            yield "take", f"must be all or free, got {self.take!r}"


@dataclass
class StoreConfig:
    """Where artefacts are kept."""

    path: str = "outputs/store"
    """Directory of the content-addressed store."""
    verify: bool = True
    """Check the sha256 of every artefact when it is read."""
