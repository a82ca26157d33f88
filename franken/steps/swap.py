"""Put the table of one model on the body of another of the same ancestry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, field
from typing import Any, ClassVar

from franken.composition.base import Composition
from franken.composition.swap import SpecialRows, SwapComposition
from franken.lazy import later
from franken.steps.base import HERE, Part, Step, step

with later():
    from franken.config.root import Config
    from franken.parts.special_rows import with_special_rows
    from franken.parts.table import load_table, save_table
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model, read_places, require_relatives, write_model


@step
class SwapStep(Step):
    """Put the table of one model on the body of another of the same ancestry."""

    seeded: ClassVar[bool] = False
    inputs: ClassVar[dict[str, Part]] = {
        "body": Part.model, "table": Part.model, "base": Part.model,
    }  # fmt: skip
    body: str = ""
    table: str = ""
    base: str | None = None
    """Needed by ``special_rows: from_base``."""
    composition: Composition = field(default_factory=SwapComposition)

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.composition.name != "swap":
            yield "composition", f"is {self.composition.name!r}; choose composition=swap"
        rows = getattr(self.composition, "special_rows", None)
        if rows == SpecialRows.from_base and self.base is None:
            yield "base", "composition.special_rows=from_base needs the step that made the base"

    def key(self, config: Config) -> dict[str, Any]:
        """The rule for control rows."""
        return asdict(self.composition)

    def run(self, context: StepContext) -> dict[str, Any]:
        """No training: references, and a copy of the table when control rows are exchanged.

        Raises:
            CompatibilityError: when table and body have different ancestors or hidden sizes.
        """
        assert isinstance(self.composition, SwapComposition)
        donor, adapted = (read_places(context.inputs[side]) for side in ("body", "table"))
        lineages = {"the body": donor["lineage"], "the table": adapted["lineage"]}
        require_relatives(context, lineages, "swap only among relatives")
        rows = self.composition.special_rows
        table = adapted["table"]
        if rows is not SpecialRows.from_adapted:
            giver = context.inputs["body" if rows is SpecialRows.from_donor else "base"]
            mixed = with_special_rows(
                load_table(open_model(context.inputs["table"], context.store).table),
                load_table(open_model(giver, context.store).table),
            )
            save_table(mixed, context.directory / "table")
            table = [HERE, "", "table"]
        write_model(
            context, body=donor["body"], table=table, deltas=donor["deltas"],
            lineage=donor["lineage"], fingerprint=donor["fingerprint"],
        )  # fmt: skip
        return {"special_rows": str(rows)}
