"""Read the directory of a Hydra LLM: its parts are linked, nothing is loaded."""

from pathlib import Path
from typing import Any

from franken.composition.hydra import link_hydra
from franken.config.steps import LoadHydraStep
from franken.steps.context import StepContext
from franken.steps.models import HERE, write_model


def run(step: LoadHydraStep, context: StepContext) -> dict[str, Any]:
    """Files are hard-linked where the file system allows it.

    Raises:
        ArtifactError: where the directory is no Hydra LLM, or a part is damaged or missing.
        CompatibilityError: where a table belongs to another base.
    """
    ref = link_hydra(Path(step.path).expanduser(), context.directory)
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
    return {"source": step.path, "tables": list(tables)}
