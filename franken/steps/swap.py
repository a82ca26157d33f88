"""Put the table of one model on the body of another of the same ancestry."""

from typing import Any

from franken.config.composition import SpecialRows, SwapComposition
from franken.config.steps import SwapStep
from franken.errors import CompatibilityError
from franken.parts.special_rows import with_special_rows
from franken.parts.table import load_table, save_table
from franken.steps.context import StepContext
from franken.steps.models import HERE, open_model, read_places, write_model


def run(step: SwapStep, context: StepContext) -> dict[str, Any]:
    """No training: references, and a copy of the table when control rows are exchanged.

    Raises:
        CompatibilityError: when table and body have different ancestors or hidden sizes.
    """
    assert isinstance(step.composition, SwapComposition)
    donor, adapted = (read_places(context.inputs[side]) for side in ("body", "table"))
    if donor["lineage"] != adapted["lineage"]:
        raise CompatibilityError(
            f"step {context.name!r}: the table was made for base {adapted['lineage'][:12]}, the "
            f"body descends from {donor['lineage'][:12]}; swap only among relatives"
        )
    rows = step.composition.special_rows
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
