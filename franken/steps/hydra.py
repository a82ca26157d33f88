"""Assemble a Hydra LLM: the body of one step, a table each of others; references only."""

from typing import Any

from franken.config.composition import HydraComposition
from franken.config.steps import HydraStep
from franken.errors import CompatibilityError
from franken.steps.context import StepContext
from franken.steps.models import Place, read_places, write_model


def run(step: HydraStep, context: StepContext) -> dict[str, Any]:
    """Nothing is copied; adding a table to a recipe makes one more reference.

    Raises:
        CompatibilityError: where a table was made for another base.
    """
    composition = step.composition
    assert isinstance(composition, HydraComposition)
    body = read_places(context.inputs["body"])
    tables: dict[str, Place] = {}
    for name in step.tables:
        places = read_places(context.inputs[f"tables.{name}"])
        if places["lineage"] != body["lineage"]:
            raise CompatibilityError(
                f"step {context.name!r}: table {name!r} was made for base "
                f"{places['lineage'][:12]}, the body descends from {body['lineage'][:12]}; a "
                "table only fits bodies of its own base"
            )
        tables[name] = places.get("tables", {}).get(name, places["table"])
    default = composition.default or next(iter(tables))
    routing = {
        "languages": dict(composition.languages),
        "scripts": {name: list(scripts) for name, scripts in composition.scripts.items()},
        "default": composition.default,
    }
    write_model(
        context, body=body["body"], table=tables[default], deltas=body["deltas"],
        lineage=body["lineage"], fingerprint=body["fingerprint"], tables=tables, routing=routing,
    )  # fmt: skip
    return {"tables": list(tables)}
