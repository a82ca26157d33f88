"""One table of a Hydra LLM as an ordinary model: references only."""

from __future__ import annotations

from typing import Any, ClassVar

from franken.errors import CompatibilityError
from franken.lazy import later
from franken.steps.base import Part, Step, step

with later():
    from franken.config.root import Config
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import read_places, write_model


@step
class SelectTableStep(Step):
    """The ordinary model that reads and writes one table of a Hydra LLM; references only."""

    seeded: ClassVar[bool] = False
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model}
    takes_hydra: ClassVar[tuple[str, ...]] = ("model",)
    model: str = ""
    table: str = ""

    def key(self, config: Config) -> dict[str, Any]:
        """The name of the table."""
        return {"table": self.table}

    def run(self, context: StepContext) -> dict[str, Any]:
        """Reads and writes the one table; every other step takes it.

        Raises:
            CompatibilityError: where the model has no table of that name.
        """
        places = read_places(context.inputs["model"])
        tables = places.get("tables", {})
        if self.table not in tables:
            raise CompatibilityError(
                f"step {context.name!r}: {self.model!r} has no table {self.table!r}; tables: "
                f"{', '.join(tables) or 'none, it is an ordinary model'}"
            )
        write_model(
            context, body=places["body"], table=tables[self.table], deltas=places["deltas"],
            lineage=places["lineage"], fingerprint=places["fingerprint"],
        )  # fmt: skip
        return {"table": self.table}
