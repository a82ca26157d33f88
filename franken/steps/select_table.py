"""One table of a Hydra LLM as an ordinary model: references only."""

from typing import Any

from franken.config.steps import SelectTableStep
from franken.errors import CompatibilityError
from franken.steps.context import StepContext
from franken.steps.models import read_places, write_model


def run(step: SelectTableStep, context: StepContext) -> dict[str, Any]:
    """Reads and writes the one table; every other step takes it.

    Raises:
        CompatibilityError: where the model has no table of that name.
    """
    places = read_places(context.inputs["model"])
    tables = places.get("tables", {})
    if step.table not in tables:
        raise CompatibilityError(
            f"step {context.name!r}: {step.model!r} has no table {step.table!r}; tables: "
            f"{', '.join(tables) or 'none, it is an ordinary model'}"
        )
    write_model(
        context, body=places["body"], table=tables[step.table], deltas=places["deltas"],
        lineage=places["lineage"], fingerprint=places["fingerprint"],
    )  # fmt: skip
    return {"table": step.table}
