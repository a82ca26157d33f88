"""Assemble a Hydra LLM: the body of one step, a table each of others; references only."""

from typing import Any

from franken.composition.hydra import Router
from franken.config.composition import HydraComposition
from franken.config.steps import HydraStep
from franken.errors import CompatibilityError
from franken.steps.context import StepContext
from franken.steps.models import Place, read_places, write_model


def run(step: HydraStep, context: StepContext) -> dict[str, Any]:
    """Nothing is copied; adding a table to a recipe makes one more reference.

    Raises:
        CompatibilityError: where a table was made for another base, a Hydra LLM has several tables
            but none of the name, or the routing names a table that is not there.
    """
    body = read_places(context.inputs["body"])
    tables: dict[str, Place] = dict(body.get("tables", {})) if step.keep else {}
    for name in step.tables:
        places = read_places(context.inputs[f"tables.{name}"])
        if places["lineage"] != body["lineage"]:
            raise CompatibilityError(
                f"step {context.name!r}: table {name!r} was made for base "
                f"{places['lineage'][:12]}, the body descends from {body['lineage'][:12]}; a "
                "table only fits bodies of its own base"
            )
        several = places.get("tables", {name: places["table"]})
        if name not in several:
            raise CompatibilityError(
                f"step {context.name!r}: {step.tables[name]!r} has no table {name!r} but "
                f"{', '.join(several)}; choose one by a select_table step"
            )
        tables[name] = several[name]
    routing = _routing(step, body.get("routing") or {}, context)
    Router(
        tuple(tables), routing["languages"],
        {name: tuple(scripts) for name, scripts in routing["scripts"].items()}, routing["default"],
    )  # fmt: skip
    default = routing["default"] or next(iter(tables))
    write_model(
        context, body=body["body"], table=tables[default], deltas=body["deltas"],
        lineage=body["lineage"], fingerprint=body["fingerprint"], tables=tables, routing=routing,
    )  # fmt: skip
    return {"tables": list(tables)}


def _routing(step: HydraStep, kept: dict[str, Any], context: StepContext) -> dict[str, Any]:
    """The composition's, beside that of the body where its tables stay."""
    own = step.composition
    assert isinstance(own, HydraComposition)
    old = kept if step.keep else {}
    languages, scripts = dict(old.get("languages", {})), dict(old.get("scripts", {}))
    for tag, table in own.languages.items():
        if languages.setdefault(tag, table) != table:
            raise CompatibilityError(
                f"step {context.name!r}: {tag!r} goes to the table {languages[tag]!r} of "
                f"{step.body!r} already; leave it out of composition.languages"
            )
    return {
        "languages": languages,
        "scripts": {**scripts, **{name: list(found) for name, found in own.scripts.items()}},
        "default": own.default if own.default is not None else old.get("default"),
    }
