"""Assemble a Hydra LLM: the body of one step, a table each of others; references only."""

from typing import Any

from franken.composition.hydra import TableRouter
from franken.config.composition import HydraComposition
from franken.config.steps import HydraStep
from franken.errors import CompatibilityError
from franken.steps.context import StepContext
from franken.steps.models import Place, read_places, write_model


def run(step: HydraStep, context: StepContext) -> dict[str, Any]:
    """Nothing is copied; adding a table to a recipe makes one more reference.

    Raises:
        CompatibilityError: where a table was made for another base, a Hydra LLM has several tables
            but none of the name, a kept table has the name of a new one, or the routing names a
            table that is not there, or sends a language or a script to two.
    """
    body = read_places(context.inputs["body"])
    tables: dict[str, Place] = dict(body.get("tables", {})) if step.keep else {}
    kept = list(tables)
    for key in step.tables:
        name = step.name_of(key)
        if name in kept:
            raise CompatibilityError(
                f"step {context.name!r}: {step.body!r} has the tables {', '.join(kept)}, which "
                f"stay (keep=true), so {name!r} is taken; set recipe.steps.{context.name}.names."
                f"{key} to another name"
            )
        places = read_places(context.inputs[f"tables.{key}"])
        if places["lineage"] != body["lineage"]:
            raise CompatibilityError(
                f"step {context.name!r}: table {name!r} was made for base "
                f"{places['lineage'][:12]}, the body descends from {body['lineage'][:12]}; a "
                "table only fits bodies of its own base"
            )
        several = places.get("tables", {key: places["table"]})
        if key not in several:
            raise CompatibilityError(
                f"step {context.name!r}: {step.tables[key]!r} has no table {key!r} but "
                f"{', '.join(several)}; choose one by a select_table step"
            )
        tables[name] = several[key]
    routing = _routing(step, body.get("routing") or {}, context)
    TableRouter(
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
    owners = {script: table for table, claimed in scripts.items() for script in claimed}
    for table, claimed in own.scripts.items():
        for script in claimed:
            if owners.get(script, table) != table:
                raise CompatibilityError(
                    f"step {context.name!r}: the script {script!r} goes to the table "
                    f"{owners[script]!r} of {step.body!r} already; leave it out of "
                    "composition.scripts"
                )
        scripts[table] = list(claimed)
    return {
        "languages": languages,
        "scripts": scripts,
        "default": own.default if own.default is not None else old.get("default"),
    }
