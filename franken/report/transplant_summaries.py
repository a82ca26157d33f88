"""Summaries of transplants on disk: ``transplants/<step>.json`` of run directories.

Their fields are those that ``franken/steps/transplant.py`` writes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from franken.errors import DataError
from franken.report.runs import Run


@dataclass(frozen=True)
class Transplant:
    """One step's summary."""

    label: str
    """Step and, in a grid of jobs, the job's variant."""
    content: dict[str, Any]

    @property
    def sets(self) -> dict[str, Any]:
        """Set -> languages and overall."""
        found: dict[str, Any] = self.content["sets"]
        return found

    def overall(self, name: str, judge: str = "strict") -> dict[str, Any]:
        """Figures of all languages of a set."""
        found: dict[str, Any] = self.sets[name]["overall"].get(judge, {})
        return found

    def searched(self, name: str) -> bool:
        """Whether several pairs ran on every sample, the same on all."""
        return "heat" in self.overall(name)


def transplants_of(runs: Sequence[Run]) -> list[Transplant]:
    """All transplants of some runs, in order; equal ones of a grid once.

    Raises:
        DataError: for a file that is no JSON.
    """
    found: list[Transplant] = []
    for run in runs:
        variant = str(run.info.get("variant") or "")
        paths = sorted((run.path.parent / "transplants").glob("*.json"))
        asked = run.info.get("config", {}).get("recipe", {}).get("run") or []
        rank = {name: at for at, name in enumerate(asked)}
        for path in sorted(paths, key=lambda path: rank.get(path.stem, len(rank))):
            if path.name.endswith(".progress.json"):
                continue
            try:
                content = json.loads(path.read_bytes())
            except ValueError as error:
                raise DataError(f"{path} is no JSON ({error}); run the experiment again") from None
            if any(other.content == content for other in found):
                continue
            several = len(runs) > 1 and variant
            label = f"{content['step']} ({variant})" if several else str(content["step"])
            found.append(Transplant(label, content))
    return found
