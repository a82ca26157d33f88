"""Read the directory of a Hydra LLM: its parts are linked, nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from franken.lazy import later
from franken.steps.base import HERE, Step, step
from franken.steps.common.file_hashes import hydra_hash

with later():
    from franken.composition.hydra import link_hydra
    from franken.config.root import Config
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import write_model


@step
class LoadHydraStep(Step):
    """Read a Hydra LLM's directory, as exported or written by ``save_hydra``."""

    seeded: ClassVar[bool] = False
    path: str = ""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.path:
            yield "path", "names no directory; give one that holds a hydra.json"

    def key(self, config: Config) -> dict[str, Any]:
        """The files count, not the place they lie in."""
        return {"files": hydra_hash(self.path)}

    def run(self, context: StepContext) -> dict[str, Any]:
        """Files are hard-linked where the file system allows it.

        Raises:
            ArtifactError: where the directory is no Hydra LLM, or a part is damaged or missing.
            CompatibilityError: where a table belongs to another base.
        """
        ref = link_hydra(Path(self.path).expanduser(), context.directory)
        tables = {name: [HERE, "", f"tables/{name}"] for name in ref.tables}
        routing = {
            "languages": ref.languages,
            "scripts": {name: list(scripts) for name, scripts in ref.scripts.items()},
            "default": ref.default,
        }
        write_model(
            context, body=[HERE, "", "body"], table=next(iter(tables.values())), deltas=[],
            lineage=ref.lineage, fingerprint=ref.fingerprint, tables=tables, routing=routing,
        )  # fmt: skip
        return {"source": self.path, "tables": list(tables)}
